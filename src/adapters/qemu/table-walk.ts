import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { asHostlerError, HostlerError } from '../../domain/model/errors.js';
import { findMissing, hasTables } from '../../domain/formats/whole/find-missing.js';
import type { ImageFormat } from '../../domain/model/image-format.js';
import type { ByteSource, Wholeness } from '../../domain/ports/images.js';
import { orAborted } from '../../domain/model/async.js';
import { systemError } from '../linux/errno.js';
import { callsOf, inTime } from '../gates/handles.js';
import { lengthOf } from '../linux/lengths.js';
import type { ToolLimits } from '../process/tool-call.js';
import type { MissingAnswer, MissingJob } from './missing-worker.js';
import type { Missing } from '../../domain/model/image-info.js';
import { procPath } from '../linux/proc-path.js';
import type { AddressedFile } from '../../domain/ports/handles.js';

const WORKER = new URL('./missing-worker.js', import.meta.url);
/** The tables that are remembered, and what is read of one. */
const HEAP_MIB = 256;
/** What a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Of a file that grows while it is read. */
const MAX_LOOKS = 10;

/**
 * So much of tables is looked at without a thread of its own, which takes longer to start: 3 ms of
 * work.
 */
const AT_ONCE_BYTES = 512 << 10;

class TooMuch extends Error {}

/** A file whose tables are read, and what makes that end. */
interface Look extends MissingJob {
  readonly file: AddressedFile;
  readonly signal: AbortSignal;
  /** Settled when nothing reads the file any more. */
  readonly readers: Promise<unknown>[];
}

/**
 * Walks through the tables of images: those of a large disk are gigabytes, and a filesystem may
 * stop answering, so each walk has a thread of its own unless it is short. Nobody waits for a
 * thread that a filesystem holds.
 */
export class TableWalk implements Wholeness {
  /** @param limits of one walk; unset: as long as it takes */
  constructor(private readonly limits: Pick<ToolLimits, 'wallMs' | 'cpuSeconds'> = {}) {}

  async missing(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined> {
    if (!hasTables(format)) return undefined;
    const { wallMs = MAX_TIMER_MS } = this.limits;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(tooLong('wall_seconds', wallMs / 1000)), Math.min(wallMs, MAX_TIMER_MS));
    try {
      return await this.#open(file, format, AbortSignal.any([signal, stop.signal]));
    } catch (error) {
      throw systemError(error, file.address);
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined> {
    const { handle } = file;
    const bytes = await inTime(
      handle,
      () => open(procPath(file), constants.O_RDONLY | constants.O_NONBLOCK),
      (late) => late.close(),
    );
    const readers: Promise<unknown>[] = [];
    try {
      return await this.#look(bytes, { ...this.limits, fd: bytes.fd, lengthBytes: 0, format, file, signal, readers });
    } finally {
      const closed = Promise.all(readers).then(() => bytes.close());
      const closedInTime = orAborted(
        inTime(handle, () => closed),
        signal,
      );
      // The tables have been read, or the caller gets an earlier error. The gate of the root stays
      // closed while the close is overdue.
      await closedInTime.catch(() => undefined);
    }
  }

  /** What a writer has added meanwhile is there: only a file that no longer grows has an end. */
  async #look(bytes: FileHandle, look: Look): Promise<Missing | undefined> {
    const lengthNow = async () => lengthOf(await inTime(look.file.handle, () => bytes.stat({ bigint: true })));
    let length = await lengthNow();
    for (let looks = 1; ; looks++) {
      const missing = await walk({ ...look, lengthBytes: Number(length) });
      const now = await lengthNow();
      if (missing === undefined || now <= length || looks === MAX_LOOKS) return missing;
      length = now;
    }
  }
}

async function walk(look: Look): Promise<Missing | undefined> {
  const { fd, lengthBytes, format, signal, cpuSeconds, readers } = look;
  signal.throwIfAborted();
  const short = walkAtOnce(look);
  // The descriptor is closed when it has ended; its error is thrown below.
  readers.push(short.catch(() => undefined));
  const found = await orAborted(short, signal);
  if (found !== undefined) return found.missing;
  const workerData: MissingJob = { fd, lengthBytes, format, ...(cpuSeconds === undefined ? {} : { cpuSeconds }) };
  const worker = new Worker(WORKER, { workerData, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
  try {
    return missingOf(await answerOf(worker, signal), cpuSeconds);
  } finally {
    readers.push(worker.terminate());
  }
}

/** Undefined when there is too much to read. */
async function walkAtOnce(look: Look): Promise<{ readonly missing: Missing | undefined } | undefined> {
  let left = AT_ONCE_BYTES;
  const spend = (bytes: number) => {
    left -= bytes;
    if (left < 0) throw new TooMuch();
  };
  try {
    return { missing: await findMissing(inTurnOf(look), look.format, spend) };
  } catch (error) {
    if (error instanceof TooMuch) return undefined;
    throw error;
  }
}

/** Each read is waited for as long as the root's patience says. */
function inTurnOf({ fd, lengthBytes, file: { handle } }: Look): ByteSource {
  const calls = callsOf(handle);
  return {
    lengthBytes: BigInt(lengthBytes),
    async read(offset, wanted) {
      const left = lengthBytes - Number(offset);
      if (left <= 0) return Buffer.alloc(0);
      const buffer = Buffer.alloc(Math.min(wanted, left));
      const read = async () => calls.read(fd, buffer, Number(offset));
      return buffer.subarray(0, await inTime(handle, read));
    },
  };
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

function missingOf(answer: MissingAnswer, cpuSeconds = 0): Missing | undefined {
  if ('missing' in answer) return answer.missing;
  if ('tooLong' in answer) throw tooLong('cpu_seconds', cpuSeconds);
  throw Object.assign(new Error(answer.text), { code: answer.code });
}

function tooLong(limit: 'wall_seconds' | 'cpu_seconds', seconds: number): HostlerError {
  const name = `limits.foreign.${limit}`;
  return new HostlerError(
    'TOOL_LIMIT_EXCEEDED',
    `the tables of the image are not read after ${String(seconds)} s: ${name}`,
    { facts: { limit: name } },
  );
}
