import type { BigIntStats } from 'node:fs';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { identityOf } from '../linux/device-identity.js';
import { birthOf } from '../linux/system-sizes.js';

/** A file as `RawDisks` identifies it. */
export interface Claimant extends FileIdentity {
  readonly birthTimeNs?: bigint;
  readonly lengthBytes: bigint;
}

/** The file with this stat. */
export function claimantOf(stat: BigIntStats): Claimant {
  return { ...identityOf(stat), ...birthOf(stat), lengthBytes: stat.size };
}

export interface BadFile {
  readonly path: string;
  readonly why: string;
  readonly file: Claimant;
}

/**
 * Anyone who may write to a root can fill it with such files, so the number that is reported is
 * limited, for the life of a daemon and for each scan.
 */
export const MOST_BAD_FILES = 1000;

/** Passes on only the first reports of a scan, so that it cannot flood the receiving thread. */
export function firstOf(report: (bad: BadFile) => void): (bad: BadFile) => void {
  let count = 0;
  return (bad) => {
    count += 1;
    if (count <= MOST_BAD_FILES) report(bad);
  };
}

/** Logs one warning for each bad file, however many threads report it and however often. */
export class BadFileLog {
  readonly #named = new Set<string>();

  constructor(
    /** Whether a file is a raw disk, whose bytes belong to a guest: its content is not an error. */
    private readonly isRaw: (file: Claimant) => boolean,
    private readonly warn: {
      bad(path: string, why: string): void;
      /** Called when the limit is reached: no more files are reported. */
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
