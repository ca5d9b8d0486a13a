/** A mount as the kernel lists it; later ones of the same point lie over earlier ones. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
  readonly type: string;
}

/** The topmost mount of exactly this path; a trailing slash is ignored. */
export function mountAt<M extends MountEntry>(path: string, mounts: readonly M[]): M | undefined {
  let end = path.length;
  while (end > 1 && path[end - 1] === '/') end -= 1;
  const point = path.slice(0, end);
  return mounts.findLast(({ mountPoint }) => mountPoint === point);
}
