/**
 * Inside of the index a path is its bytes, a character each: not every name is UTF-8, and what has
 * such a name may need its base all the same.
 */
export function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** Such a path, for a call into the filesystem. */
export function at(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Such a path as messages name it. */
export function shown(path: string): string {
  return at(path).toString('utf8');
}
