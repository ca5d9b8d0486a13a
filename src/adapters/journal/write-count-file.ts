/**
 * A number beside the journal: how many changes its disk has accepted. A journal with fewer has
 * lost its end, which SQLite would not notice: a truncated log is what any crash leaves. The number
 * is written after each change and not synced, so it is never ahead.
 */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';

const LENGTH = 32;
const TEXT = /^(\d+) ([0-9a-f]{8})\n *$/;

/** Makes renames in the folder of this file durable. */
export function syncFolderOf(path: string): void {
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * The count file, opened for reading and writing and created if missing. The owner closes it. All
 * calls are synchronous and fail with system errors.
 */
export class WriteCountFile {
  readonly #fd: number;
  /** The number at the time of opening; undefined if the file holds no plausible number. */
  readonly seen: number | undefined;

  constructor(path: string) {
    this.#fd = openSync(path, 'a+', 0o600);
    closeSync(this.#fd);
    this.#fd = openSync(path, 'r+');
    const bytes = Buffer.alloc(LENGTH);
    const length = readSync(this.#fd, bytes, 0, LENGTH, 0);
    const [, count = '', sum = ''] = TEXT.exec(bytes.toString('latin1', 0, length)) ?? [];
    this.seen = count !== '' && crc32(count).toString(16).padStart(8, '0') === sum ? Number(count) : undefined;
  }

  write(count: number): void {
    const text = String(count);
    writeSync(this.#fd, `${text} ${crc32(text).toString(16).padStart(8, '0')}\n`.padEnd(LENGTH), 0, 'latin1');
  }

  close(): void {
    closeSync(this.#fd);
  }
}
