import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { asHostlerError, HostlerError } from '../../domain/errors.js';
import { findMissing, hasTables } from '../../domain/formats/whole/find-missing.js';
import { TooLong, type Missing } from '../../domain/formats/whole/reach.js';
import type { ImageFormat } from '../../domain/image-format.js';
import type { AddressedFile, Files, Wholeness } from '../../domain/ports.js';
import { systemError } from '../errno.js';
import { inTime, procPath } from '../handles.js';
import { lengthOf } from '../lengths.js';
import type { MissingAnswer, MissingJob } from './missing-worker.js';

const WORKER = new URL('./missing-worker.js', import.meta.url);
/** The tables that are remembered, and what is read of one. */
const HEAP_MIB = 256;
/** What a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Of a file that grows while it is read. */
const MAX_LOOKS = 10;

/** Walks through the tables of images: small ones at once, others in a thread of their own, since those of a large disk are gigabytes. */
export class TableWalk implements Wholeness {
  /** @param wallMs so long one walk may take; unset: as long as it takes */
  constructor(
    private readonly files: Pick<Files, 'withBytes'>,
    private readonly wallMs?: number,
  ) {}

  async missing(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined> {
    if (!hasTables(format)) return undefined;
    const quick = await this.#quick(file, format);
    if (quick !== 'ask again') return quick;
    try {
      const bytes = await inTime(file.handle, () => open(procPath(file), constants.O_RDONLY | constants.O_NONBLOCK));
      try {
        return await this.#look(bytes, format, signal);
      } finally {
        await bytes.close();
      }
    } catch (error) {
      throw systemError(error, file.address);
    }
  }

  /** What is missing, if that is soon known. What seems to be missing may have been added meanwhile. */
  #quick(file: AddressedFile, format: ImageFormat): Promise<undefined | 'ask again'> {
    return this.files.withBytes(file, async (bytes) => {
      try {
        return (await findMissing(bytes, format, true)) === undefined ? undefined : 'ask again';
      } catch (error) {
        if (error instanceof TooLong) return 'ask again';
        throw error;
      }
    });
  }

  /** What a writer has added meanwhile is there: only a file that no longer grows has an end. */
  async #look(bytes: FileHandle, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined> {
    let length = await lengthOf(await bytes.stat({ bigint: true }));
    for (let looks = 1; ; looks++) {
      const missing = await this.#walk({ fd: bytes.fd, lengthBytes: Number(length), format }, signal);
      const now = await lengthOf(await bytes.stat({ bigint: true }));
      if (missing === undefined || now <= length || looks === MAX_LOOKS) return missing;
      length = now;
    }
  }

  async #walk(job: MissingJob, signal: AbortSignal): Promise<Missing | undefined> {
    signal.throwIfAborted();
    const worker = new Worker(WORKER, { workerData: job, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
    const stop = new AbortController();
    const { wallMs = MAX_TIMER_MS } = this;
    const timer = setTimeout(() => stop.abort(tooLong(wallMs)), Math.min(wallMs, MAX_TIMER_MS));
    try {
      return missingOf(await answerOf(worker, AbortSignal.any([signal, stop.signal])));
    } finally {
      clearTimeout(timer);
      await worker.terminate();
    }
  }
}

function answerOf(worker: Worker, signal: AbortSignal): Promise<MissingAnswer> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(asHostlerError(signal.reason)), { once: true });
    worker.once('message', resolve);
    const broke = (cause: unknown) =>
      reject(new HostlerError('BUG', 'a thread that reads the tables of an image broke', { cause }));
    worker.once('error', broke);
    worker.once('exit', broke);
  });
}

function missingOf(answer: MissingAnswer): Missing | undefined {
  if ('missing' in answer) return answer.missing;
  throw Object.assign(new Error(answer.text), { code: answer.code });
}

function tooLong(wallMs: number): HostlerError {
  const limit = 'limits.foreign.wall_seconds';
  return new HostlerError('TOOL_LIMIT_EXCEEDED', `the tables of the image are not read after ${String(wallMs)} ms`, {
    facts: { limit },
  });
}
