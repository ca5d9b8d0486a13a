/** A mount as the kernel lists it; later ones of the same point lie over earlier ones. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
  readonly type: string;
}

/** What a host knows of its mounts and of what paths are. */
export interface Mounts {
  mounts(): Promise<readonly MountEntry[]>;
  /**
   * The place that a path means, without links; undefined where there is none. Fails with
   * ROOT_STALLED.
   */
  realPath(path: string): Promise<string | undefined>;
  /**
   * Names a block device by its number; undefined: the path is no block device. Fails with
   * ROOT_STALLED.
   */
  deviceOf(path: string): Promise<string | undefined>;
}

/** Folders in which udev names block devices by what mount(8) takes for them. */
const TAGS: Readonly<Record<string, string>> = {
  'UUID=': '/dev/disk/by-uuid/',
  'LABEL=': '/dev/disk/by-label/',
  'PARTUUID=': '/dev/disk/by-partuuid/',
  'PARTLABEL=': '/dev/disk/by-partlabel/',
};

/** The topmost mount of exactly this place, whatever the path is that names it. */
export async function mountedAt(path: string, host: Mounts): Promise<MountEntry | undefined> {
  const [plain, mounts] = [plainPath(path), await host.mounts()];
  // A mount point is not asked for what it is: a server that is gone would not answer.
  const named = plain === undefined ? undefined : mountAt(plain, mounts);
  if (named !== undefined) return named;
  const real = await host.realPath(path);
  return real === undefined ? undefined : mountAt(real, mounts);
}

/** Whether a mount is of this source: the same words, or another name of the same device. */
export async function isOfSource({ source }: MountEntry, wanted: string, host: Mounts): Promise<boolean> {
  if (source === wanted) return true;
  const tag = Object.keys(TAGS).find((each) => wanted.startsWith(each));
  const path = tag === undefined ? wanted : `${TAGS[tag] ?? ''}${wanted.slice(tag.length).replace(/^"(.*)"$/, '$1')}`;
  if (!path.startsWith('/') || !source.startsWith('/')) return false;
  const [one, other] = await Promise.all([host.deviceOf(source), host.deviceOf(path)]);
  return one !== undefined && one === other;
}

/** The mount that is seen at a path: of several at the same path the last one. */
export function mountAt<M extends MountEntry>(place: string, mounts: readonly M[]): M | undefined {
  return mounts.findLast(({ mountPoint }) => mountPoint === place);
}

/**
 * Without `//`, `/.` and a slash at the end; undefined with `..`, which means another place behind
 * a link.
 */
export function plainPath(path: string): string | undefined {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  return names.includes('..') ? undefined : `/${names.join('/')}`;
}
