/** A mount as the kernel lists it; later ones of the same point lie over earlier ones. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
  readonly type: string;
}

/** The topmost mount of exactly this path; a trailing slash is ignored. */
export function mountAt<M extends MountEntry>(path: string, mounts: readonly M[]): M | undefined {
  const point = path.length > 1 ? path.replace(/\/+$/, '') : path;
  return mounts.findLast(({ mountPoint }) => mountPoint === (point === '' ? '/' : point));
}
