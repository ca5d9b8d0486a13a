import type { OpenDirOptions } from 'node:fs';

/**
 * Options for opendir: names as bytes, this many in one read; not every name is UTF-8. Node's types
 * do not cover this, so entries are read with `bytesOf`.
 */
export function namesAsBytes(bufferSize: number): OpenDirOptions {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- Node takes it since 12.12
  return { encoding: 'buffer', bufferSize } as object;
}

/** The name of an entry that was read with `namesAsBytes`. */
export function bytesOf({ name }: { readonly name: unknown }): Buffer {
  if (!Buffer.isBuffer(name)) throw new TypeError('a folder was read as text');
  return name;
}
