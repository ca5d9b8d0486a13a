import type { FileRef } from '../../domain/ports/handles.js';

/** A descriptor that names an inode without opening its content. */
export const O_PATH = 0o10000000;

/**
 * The path by which this process reaches what a reference names, whatever has happened to its own
 * path.
 */
export function procPath({ handle, name }: FileRef): string {
  return `/proc/self/fd/${String(handle.fd)}${name === undefined ? '' : `/${name}`}`;
}
