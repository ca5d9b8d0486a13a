import type { BigIntStats } from 'node:fs';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { identityOf } from '../linux/device-identity.js';
import { birthOf } from '../linux/system-sizes.js';

/** A file as `RawDisks` knows files. */
export interface Claimant extends FileIdentity {
  readonly birthTimeNs?: bigint;
  readonly lengthBytes: bigint;
}

/** The file of which the system says this. */
export function claimantOf(stat: BigIntStats): Claimant {
  return { ...identityOf(stat), ...birthOf(stat), lengthBytes: stat.size };
}

export interface BadFile {
  readonly path: string;
  readonly why: string;
  readonly file: Claimant;
}

/**
 * Everyone who may write into a root may fill it with such files, so only so many are named in the
 * life of a daemon, and by one look of a thread.
 */
export const MOST_BAD_FILES = 1000;

/** Passes on the first of a thread's, so that it cannot flood the thread that hears of them. */
export function firstOf(report: (bad: BadFile) => void): (bad: BadFile) => void {
  let count = 0;
  return (bad) => {
    count += 1;
    if (count <= MOST_BAD_FILES) report(bad);
  };
}

/** One warning for each bad file, however many threads see it and however often. */
export class BadFileLog {
  readonly #named = new Set<string>();

  constructor(
    /** Whether a file is a disk whose bytes are a guest's: nothing in it is wrong. */
    private readonly isRaw: (file: Claimant) => boolean,
    private readonly warn: {
      bad(path: string, why: string): void;
      /** More are not named. */
      full(): void;
    },
  ) {}

  hear({ path, why, file }: BadFile): void {
    const name = `${String(file.device)} ${String(file.inode)} ${path}`;
    if (this.#named.size >= MOST_BAD_FILES || this.#named.has(name) || this.isRaw(file)) return;
    this.#named.add(name);
    this.warn.bad(path, why);
    if (this.#named.size === MOST_BAD_FILES) this.warn.full();
  }
}
