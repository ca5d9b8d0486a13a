/** A mount as the kernel lists it; a later one of the same mount point covers earlier ones. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
  readonly type: string;
}

/** The mounts of a host, and queries about its paths. */
export interface Mounts {
  mounts(): Promise<readonly MountEntry[]>;
  /** The real path; undefined if the path does not exist. Fails with ROOT_STALLED. */
  realPath(path: string): Promise<string | undefined>;
  /**
   * The number of a block device; undefined: the path is not a block device. Fails with
   * ROOT_STALLED.
   */
  deviceOf(path: string): Promise<string | undefined>;
}

/** udev's folders of links to block devices, by the tags that mount(8) accepts. */
const TAGS: Readonly<Record<string, string>> = {
  'UUID=': '/dev/disk/by-uuid/',
  'LABEL=': '/dev/disk/by-label/',
  'PARTUUID=': '/dev/disk/by-partuuid/',
  'PARTLABEL=': '/dev/disk/by-partlabel/',
};

/** The topmost mount at exactly this place, by whatever path it is named. */
export async function mountedAt(path: string, host: Mounts): Promise<MountEntry | undefined> {
  const [plain, mounts] = [plainPath(path), await host.mounts()];
  // A mount point itself is not examined: a server that is gone would not answer.
  const named = plain === undefined ? undefined : mountAt(plain, mounts);
  if (named !== undefined) return named;
  const real = await host.realPath(path);
  return real === undefined ? undefined : mountAt(real, mounts);
}

/** Whether a mount has this source: the same text, or another name of the same device. */
export async function isOfSource({ source }: MountEntry, wanted: string, host: Mounts): Promise<boolean> {
  if (source === wanted) return true;
  const tag = Object.keys(TAGS).find((each) => wanted.startsWith(each));
  const path = tag === undefined ? wanted : `${TAGS[tag] ?? ''}${wanted.slice(tag.length).replace(/^"(.*)"$/, '$1')}`;
  if (!path.startsWith('/') || !source.startsWith('/')) return false;
  const [one, other] = await Promise.all([host.deviceOf(source), host.deviceOf(path)]);
  return one !== undefined && one === other;
}

/** The mount that is visible at a path: the last one of several at the same path. */
export function mountAt<M extends MountEntry>(place: string, mounts: readonly M[]): M | undefined {
  return mounts.findLast(({ mountPoint }) => mountPoint === place);
}

/**
 * Without `//`, `/.` and a trailing slash; undefined with `..`, which has another meaning after a
 * link.
 */
export function plainPath(path: string): string | undefined {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  return names.includes('..') ? undefined : `/${names.join('/')}`;
}
