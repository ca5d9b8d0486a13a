import type { FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { HostlerError } from '../../domain/model/errors.js';
import type { EarlyDisk, EarlyDiskResult, GivenUp } from '../../domain/ports/transfers.js';
import { deferred } from '../../domain/model/async.js';
import type { ArrivedDisk } from './arriving-disk.js';
import type { EarlyDiskAnswer, EarlyDiskJob, EarlyDiskOrder } from './early-disk-worker.js';

const WORKER = new URL('./early-disk-worker.js', import.meta.url);
const YOUNG_MIB = 2;
/** A smaller image is converted sooner than a thread starts. */
const STEP_BYTES = 4n << 20n;
/** The thread gets leave to write ahead, so that it seldom waits. */
const AHEAD_BYTES = 32n << 20n;
/** While the thread is waited for, somebody has to notice that its filesystem hangs. */
const LOOK_MS = 1000;

export interface EarlyDiskOptions {
  /** Closed with this. */
  readonly from: FileHandle;
  /** Empty; closed with this. */
  readonly to: FileHandle;
  readonly room: (bytes: bigint) => Promise<void>;
  /** Asks the filesystem for anything. Fails with ROOT_STALLED if it does not answer. */
  readonly look: () => Promise<unknown>;
  /** Waits for the close, but not too long: the thread may be in a call that does not return. */
  readonly letGo: (closed: Promise<void>) => Promise<void>;
}

/** Copies the guest's disk in a thread of its own, so that the main thread stays free. */
export class EarlyDiskThread implements EarlyDisk {
  #worker: Worker | undefined;
  #reached = 0n;
  #ordered = 0n;
  readonly #end = deferred<EarlyDiskResult | GivenUp>();
  #broken: Error | undefined;
  #isOver = false;
  #isComplete = false;
  #closed: Promise<void> | undefined;

  constructor(private readonly options: EarlyDiskOptions) {}

  reach(offset: bigint): void {
    this.#reached = offset;
    if (offset - this.#ordered >= STEP_BYTES) this.#tell(false);
  }

  restart(): void {
    [this.#reached, this.#ordered] = [0n, 0n];
    this.#worker?.postMessage('restart' satisfies EarlyDiskOrder);
  }

  async end(): Promise<EarlyDiskResult | GivenUp> {
    if (this.#worker === undefined) this.#over({ gaveUp: 'it is small' });
    else this.#tell(true);
    const end = await this.#whenOver();
    if (this.#broken !== undefined)
      throw new HostlerError('BUG', 'the thread that writes a disk broke', { cause: this.#broken });
    this.#isComplete = !('gaveUp' in end);
    if (!this.#isComplete) await this.close();
    return end;
  }

  async #whenOver(): Promise<EarlyDiskResult | GivenUp> {
    for (;;) {
      const end = await Promise.race([this.#end.promise, sleep(LOOK_MS, undefined, { ref: false })]);
      if (end !== undefined) return end;
      await this.options.look();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.options.letGo(this.#letGo());
    return this.#closed;
  }

  async #letGo(): Promise<void> {
    this.#over({ gaveUp: 'it was closed' });
    const { from, to } = this.options;
    await this.#worker?.terminate();
    try {
      if (!this.#isComplete) await to.truncate(0);
    } finally {
      await Promise.all([from.close(), to.close()]);
    }
  }

  #tell(ended: boolean): void {
    if (this.#isOver) return;
    this.#ordered = this.#reached;
    this.#worker ??= this.#begin();
    this.#worker.postMessage({ reach: Number(this.#reached), ended } satisfies EarlyDiskOrder);
  }

  #begin(): Worker {
    const { from, to } = this.options;
    const workerData: EarlyDiskJob = { from: from.fd, to: to.fd };
    const worker = new Worker(WORKER, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    worker.on('message', (answer: EarlyDiskAnswer) => {
      if ('space' in answer) void this.#allow(worker, BigInt(answer.space));
      else if ('gaveUp' in answer) this.#over(answer);
      else this.#over(resultOf(answer.disk));
    });
    worker.once('error', (error: unknown) => {
      this.#broken = error instanceof Error ? error : new Error(String(error));
      this.#over({ gaveUp: 'its thread broke' });
    });
    return worker;
  }

  async #allow(worker: Worker, bytes: bigint): Promise<void> {
    const all = bytes + AHEAD_BYTES;
    try {
      await this.options.room(all);
      worker.postMessage({ allow: Number(all) } satisfies EarlyDiskOrder);
    } catch {
      // The tool needs the same space, and its caller gets the error.
      this.#over({ gaveUp: 'there is no room' });
    }
  }

  #over(end: EarlyDiskResult | GivenUp): void {
    this.#isOver = true;
    this.#end.resolve(end);
  }
}

function resultOf({ virtualBytes, dataBytes }: ArrivedDisk): EarlyDiskResult {
  return { virtualSizeBytes: BigInt(virtualBytes), dataBytes: BigInt(dataBytes) };
}
