declare const brand: unique symbol;

/** A checked name of an image: an absolute path. It still has to be resolved inside the roots. */
export type ImageAddress = string & { readonly [brand]: 'ImageAddress' };

/** Linux's PATH_MAX less its NUL. */
const MAX_ADDRESS_BYTES = 4095;
/** Linux's NAME_MAX. */
const MAX_NAME_BYTES = 255;

/** What is wrong with an address, or the address. Any UTF-8 name without NUL is fine; nothing is normalised. */
export function parseAddress(text: string): ImageAddress | { readonly problem: string } {
  const problem = findProblem(text);
  return problem === undefined ? asAddress(text) : { problem };
}

/** For names that are only walked, inside the roots, whatever they look like: those that a header of an image holds. */
export function asAddress(text: string): ImageAddress {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the one constructor of the brand
  return text as ImageAddress;
}

function findProblem(text: string): string | undefined {
  if (text === '') return 'required';
  if (text.startsWith('rbd:')) return 'no Ceph pool is configured';
  if (!text.startsWith('/')) return 'must be an absolute path';
  if (text.includes('\0')) return 'must not contain NUL';
  // What a decoder puts in the place of bytes that are no UTF-8: it would reach another file than was meant.
  if (text.includes('\uFFFD')) return 'must be UTF-8';
  if (Buffer.byteLength(text) > MAX_ADDRESS_BYTES) return `longer than ${String(MAX_ADDRESS_BYTES)} bytes`;
  for (const component of text.slice(1).split('/')) {
    if (component === '') return 'must not contain `//` or end with `/`';
    if (component === '.' || component === '..') return `must not contain the component \`${component}\``;
    if (Buffer.byteLength(component) > MAX_NAME_BYTES)
      return `a component is longer than ${String(MAX_NAME_BYTES)} bytes`;
  }
  return undefined;
}

/** The last component. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The path without its last component. */
export function dirname(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** Whether a path is a folder itself or lies in it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
