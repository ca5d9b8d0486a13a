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
/** Heap limit: the thread keeps tables in memory, and the bytes that it reads. */
const HEAP_MIB = 256;
/** The largest delay of a timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Limit of repeated reads of a file that grows. */
const MAX_LOOKS = 10;

/**
 * Tables up to this size are read without a worker thread, which takes longer to start: 3 ms of
 * work.
 */
const AT_ONCE_BYTES = 512 << 10;

class TooMuch extends Error {}

/** A file whose tables are being read, and the signal that ends it. */
interface Look extends MissingJob {
  readonly file: AddressedFile;
  readonly signal: AbortSignal;
  /** Settle when nothing reads the file any more. */
  readonly readers: Promise<unknown>[];
}

/**
 * Walks the tables of images. Those of a large disk are gigabytes, and a filesystem may stop
 * answering, so each walk that is not short has its own thread. A thread that a filesystem blocks
 * is not waited for.
 */
export class TableWalk implements Wholeness {
  /** @param limits of one walk; unset: none */
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

  /**
   * Data that a writer adds during the walk is not missing: the end is known only for a file that
   * no longer grows.
   */
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
  // The descriptor is closed when the walk has ended; its error is thrown below.
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

/** Undefined if the tables are too large. */
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

/** Each read may take as long as the root's time limit. */
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
