/** Chains of qcow2 images with content that tells where it came from. */
import { readFile, rm } from 'node:fs/promises';
import { sh } from '../shell.js';

export interface Piece {
  readonly pattern: number;
  /** MiB. */
  readonly at: number;
  readonly length: number;
}

/** Writes patterns as a guest would. */
export async function guestWrites(path: string, pieces: readonly Piece[], format = 'qcow2'): Promise<void> {
  const commands = pieces.flatMap(({ pattern, at, length }) => [
    '-c',
    `write -P ${String(pattern)} ${String(at)}M ${String(length)}M`,
  ]);
  await sh('qemu-io', '-f', format, ...commands, path);
}

/** Makes base, overlay, overlay … below each other; the first is the base. */
export async function makeChain(paths: readonly string[], sizeMib = 64): Promise<void> {
  for (const [depth, path] of paths.entries()) {
    const base = paths[depth - 1];
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      ...(base === undefined ? [] : ['-F', 'qcow2', '-b', base]),
      path,
      `${String(sizeMib)}M`,
    );
    await guestWrites(path, [
      { pattern: depth + 1, at: depth * 7, length: 5 },
      { pattern: depth + 101, at: 40 + depth, length: 1 },
    ]);
  }
}

/** What a guest would see, as bytes. */
export async function guestContent(path: string, format = 'qcow2'): Promise<Buffer> {
  const raw = `${path}.content`;
  await sh('qemu-img', 'convert', '-f', format, '-O', 'raw', path, raw);
  try {
    return await readFile(raw);
  } finally {
    await rm(raw);
  }
}

/** Throws unless qemu-img finds the image free of corruption; leaks are allowed. */
export async function assertSound(path: string): Promise<void> {
  const text = await sh(
    'sh',
    '-c',
    'qemu-img check -f qcow2 --output=json "$1"; test $? -eq 0 -o $? -eq 3',
    'sh',
    path,
  );
  const { corruptions = 0, 'check-errors': errors = 0 } = JSON.parse(text) as Record<string, number>;
  if (corruptions + errors > 0) throw new Error(`${path}: ${text}`);
}
