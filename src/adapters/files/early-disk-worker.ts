/** The thread of an `EarlyDisk`; `early-disk.ts` starts it. */
import { ftruncateSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { ArrivingDisk, type ArrivedDisk, type Wait } from './arriving-disk.js';

/** Descriptors of the file that arrives, and of the disk that is made of it. */
export interface EarlyDiskJob {
  readonly from: number;
  readonly to: number;
}

/**
 * Everything before an offset is there, or everything is; it may write so many bytes in all; the
 * file is written anew.
 */
export type EarlyDiskOrder =
  { readonly reach: number; readonly ended: boolean } | { readonly allow: number } | 'restart';

/** It waits for leave to write so many bytes; the disk is complete; it cannot be made like this. */
export type EarlyDiskAnswer = { readonly space: number } | { readonly disk: ArrivedDisk } | { readonly gaveUp: string };

class Copier {
  #disk: ArrivingDisk;
  /** Undefined after it gave up. */
  #steps: Generator<Wait, ArrivedDisk> | undefined;
  #made: ArrivedDisk | undefined;
  #asked = 0;

  constructor(
    private readonly job: EarlyDiskJob,
    private readonly answer: (answer: EarlyDiskAnswer) => void,
  ) {
    this.#disk = new ArrivingDisk(job.from, job.to);
    this.#steps = this.#disk.copy();
  }

  take(order: EarlyDiskOrder): void {
    if (this.#steps === undefined) return;
    if (order === 'restart') this.#restart();
    else if ('allow' in order) this.#disk.allowed = order.allow;
    else [this.#disk.reached, this.#disk.ended] = [order.reach, order.ended];
    try {
      this.#go(this.#steps);
    } catch (error) {
      this.#steps = undefined;
      ftruncateSync(this.job.to, 0);
      this.answer({ gaveUp: error instanceof Error ? error.message : String(error) });
    }
  }

  #go(steps: Generator<Wait, ArrivedDisk>): void {
    const { value, done } = steps.next();
    if (done === true) {
      this.#made ??= value;
      // Not earlier: the file may still begin anew.
      if (this.#disk.ended) this.answer({ disk: this.#made });
    } else if ('space' in value && value.space > this.#asked) {
      this.#asked = value.space;
      this.answer(value);
    }
  }

  #restart(): void {
    const { allowed } = this.#disk;
    ftruncateSync(this.job.to, 0);
    this.#disk = new ArrivingDisk(this.job.from, this.job.to);
    this.#disk.allowed = allowed;
    this.#steps = this.#disk.copy();
    this.#made = undefined;
  }
}

if (!isMainThread) {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what EarlyDiskThread gives
  const copier = new Copier(workerData as EarlyDiskJob, (answer) => parentPort?.postMessage(answer));
  parentPort?.on('message', (order: EarlyDiskOrder) => {
    copier.take(order);
  });
}
