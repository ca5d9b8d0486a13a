import type { FileRef } from '../../domain/ports/handles.js';

/** A descriptor that names an inode without opening its content. */
export const O_PATH = 0o10000000;

/**
 * The path by which this process reaches the file of a reference, even if the file's own path has
 * changed.
 */
export function procPath({ handle, name }: FileRef): string {
  return `/proc/self/fd/${String(handle.fd)}${name === undefined ? '' : `/${name}`}`;
}
