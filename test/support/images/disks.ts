/** Disk content for tests. */
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { sh } from '../shell.js';

const BLOCK_BYTES = 4 * 1024 * 1024;

/** Bytes that no compressor or zero detection makes smaller, the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const key = createHash('sha256').update(String(seed)).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** A file with data at the given offsets and holes elsewhere. */
export async function sparseFile(
  path: string,
  length: number,
  pieces: readonly { at: number; length: number }[],
): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const piece of pieces) await file.write(noise(piece.length, piece.at + 1), 0, piece.length, piece.at);
    await file.truncate(length);
  } finally {
    await file.close();
  }
}

/** What qemu-img says of an image. */
export async function qemuInfo(path: string, format: string): Promise<Record<string, unknown>> {
  return JSON.parse(await sh('qemu-img', 'info', '-U', '-f', format, '--output=json', path)) as Record<string, unknown>;
}

export async function sameBytes(first: string, second: string): Promise<boolean> {
  return (await readFile(first)).equals(await readFile(second));
}

export async function allocatedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}

/**
 * Works with a folder that has, for this process and its children, room for so many MiB; `fill`
 * takes what is left of it.
 */
export async function onSmallDisk(
  pid: number | undefined,
  folder: string,
  mib: number,
  work: (fill: () => Promise<void>) => Promise<void>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  // It has its own mounts, as a process in a network namespace has.
  const there = (...words: string[]) => sh('nsenter', '-m', '-t', String(pid), ...words);
  await there('mount', '-t', 'tmpfs', '-o', `size=${String(mib)}m`, 'small', folder);
  try {
    await work(async () => {
      // It ends when nothing is left.
      await there('sh', '-c', 'dd if=/dev/zero of="$1/fill" bs=64k 2>/dev/null || true', 'sh', folder);
    });
  } finally {
    await there('umount', folder);
  }
}

/** DigestImage's digest, as its documentation defines it. */
export function blockDigest(bytes: Buffer): string {
  const outer = createHash('sha256');
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
    outer.update(
      createHash('sha256')
        .update(bytes.subarray(at, at + BLOCK_BYTES))
        .digest(),
    );
  return outer.digest('hex');
}
