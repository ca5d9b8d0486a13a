/**
 * Inside the index a path is a string with one character for each byte: not every name is UTF-8,
 * and an image with such a name may still need its base.
 */
export function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** An index path as a Buffer, for system calls. */
export function at(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** An index path as messages show it. */
export function shown(path: string): string {
  return at(path).toString('utf8');
}
