import type { OpenDirOptions } from 'node:fs';

/**
 * For opendir: names as bytes, so many read at once; not every name is UTF-8. Node's types know no
 * such thing: what comes is for `bytesOf`.
 */
export function namesAsBytes(bufferSize: number): OpenDirOptions {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- Node takes it since 12.12
  return { encoding: 'buffer', bufferSize } as object;
}

/** The name of an entry that was read so. */
export function bytesOf({ name }: { readonly name: unknown }): Buffer {
  if (!Buffer.isBuffer(name)) throw new TypeError('a folder was read as text');
  return name;
}
