/** What our own readers say of a file or of bytes, without a daemon. */
import { open } from 'node:fs/promises';
import { readContent } from '../../src/domain/formats/content.js';
import { cached } from '../../src/domain/formats/head.js';
import { detectFormat, otherMarks } from '../../src/domain/formats/magic.js';
import { READERS } from '../../src/domain/formats/readers.js';
import type { ImageFacts } from '../../src/domain/model/image-info.js';
import type { ByteSource } from '../../src/domain/ports/images.js';

export async function readHeader(source: ByteSource): Promise<ImageFacts | undefined> {
  const bytes = cached(source);
  const format = await detectFormat(bytes);
  if (format === 'raw') return undefined;
  const facts = await READERS[format](bytes);
  return { ...facts, findings: [...facts.findings, ...(await otherMarks(bytes, format))] };
}

/** The same, then as raw content of a stranger's: partitions and media. */
export async function readEverything(source: ByteSource): Promise<void> {
  await readContent(cached(source));
  await readHeader(source);
}

export async function readHeaderOf(path: string): Promise<ImageFacts | undefined> {
  const file = await open(path);
  try {
    const { size } = await file.stat({ bigint: true });
    return await readHeader({
      lengthBytes: size,
      async read(offset, length) {
        if (offset >= size) return Buffer.alloc(0);
        const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position: Number(offset) });
        return buffer.subarray(0, bytesRead);
      },
    });
  } finally {
    await file.close();
  }
}

export function inMemory(content: Buffer): ByteSource {
  return {
    lengthBytes: BigInt(content.length),
    read: (offset, length) =>
      Promise.resolve(
        offset >= BigInt(content.length)
          ? Buffer.alloc(0)
          : content.subarray(Number(offset), Math.min(content.length, Number(offset) + length)),
      ),
  };
}
