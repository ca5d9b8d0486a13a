declare const brand: unique symbol;

/**
 * A checked address of an image: an absolute path, or `rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT]`. It
 * still has to be resolved inside the roots.
 */
export type ImageAddress = string & { readonly [brand]: 'ImageAddress' };

/** Linux's PATH_MAX without its NUL. */
const MAX_ADDRESS_BYTES = 4095;
/** Linux's NAME_MAX. */
const MAX_NAME_BYTES = 255;

/**
 * The address, or what is wrong with it. Any UTF-8 name without NUL is valid; nothing is
 * normalised.
 */
export function parseAddress(text: string): ImageAddress | { readonly problem: string } {
  const problem = findProblem(text);
  return problem === undefined ? asAddress(text) : { problem };
}

/**
 * For names from an image's header, which may have any form: they are only resolved inside the
 * roots.
 */
export function asAddress(text: string): ImageAddress {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the one constructor of the brand
  return text as ImageAddress;
}

function findProblem(text: string): string | undefined {
  if (text === '') return 'required';
  if (isRbd(text)) {
    const name = parseRbdName(text);
    return 'problem' in name ? name.problem : undefined;
  }
  if (!text.startsWith('/')) return 'must be an absolute path or an rbd: address';
  if (text.includes('\0')) return 'must not contain NUL';
  // A decoder replaces bytes that are not UTF-8 with this character: the name would be that of
  // another file.
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

/**
 * The location of an image in a Ceph cluster; the configuration says which cluster has the pool.
 */
export interface RbdName {
  readonly pool: string;
  /** Empty: the pool's default namespace. */
  readonly namespace: string;
  readonly image: string;
  readonly snapshot?: string;
}

const RBD = 'rbd:';
/** Far below RADOS' limit for object names, which contain the image's name. */
const MAX_RBD_NAME_BYTES = 200;
/** Separators, and characters that no terminal shows. */
const NOT_IN_RBD_NAMES = /[@/:\p{Cc}]/u;

/** Whether an address names an image of a Ceph cluster. */
export function isRbd(address: string): boolean {
  return address.startsWith(RBD);
}

/** The parts of an address that begins with `rbd:`, or what is wrong with it. */
export function parseRbdName(address: string): RbdName | { readonly problem: string } {
  const [path = '', snapshot, ...more] = address.slice(RBD.length).split('@');
  const parts = path.split('/');
  if (more.length > 0 || parts.length < 2 || parts.length > 3)
    return { problem: 'must be rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT]' };
  const [pool = '', image = ''] = [parts[0], parts.at(-1)];
  const namespace = parts.length === 3 ? parts[1] : undefined;
  for (const part of [pool, namespace, image, snapshot]) {
    if (part === undefined) continue;
    if (part === '') return { problem: 'a part of rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT] is empty' };
    if (NOT_IN_RBD_NAMES.test(part)) return { problem: 'names in a pool must not contain `:` or control characters' };
    if (part.includes('\uFFFD')) return { problem: 'must be UTF-8' };
    if (Buffer.byteLength(part) > MAX_RBD_NAME_BYTES)
      return { problem: `a name is longer than ${String(MAX_RBD_NAME_BYTES)} bytes` };
  }
  return { pool, namespace: namespace ?? '', image, ...(snapshot === undefined ? {} : { snapshot }) };
}

/** The parts of `rbd:POOL[/NAMESPACE]`, a place of images, or what is wrong with it. */
export function parsePoolAddress(
  address: string,
): { readonly pool: string; readonly namespace?: string } | { readonly problem: string } {
  const [path, snapshot] = address.slice(RBD.length).split('@');
  const parts = (path ?? '').split('/');
  if (snapshot !== undefined || parts.length > 2) return { problem: 'must be rbd:POOL[/NAMESPACE]' };
  // An image's name follows the same rules.
  const name = parseRbdName(`${address}/image`);
  if ('problem' in name) return { problem: 'has an empty, too long or invalid part of rbd:POOL[/NAMESPACE]' };
  const { pool, namespace } = name;
  return namespace === '' ? { pool } : { pool, namespace };
}

/** The address `rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT]`; the names must be valid. */
export function rbdAddress({ pool, namespace, image, snapshot }: RbdName): ImageAddress {
  const path = [pool, ...(namespace === '' ? [] : [namespace]), image].join('/');
  return asAddress(`${RBD}${path}${snapshot === undefined ? '' : `@${snapshot}`}`);
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
