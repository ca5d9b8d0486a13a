import { lstat, readlink, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { ImageLocks } from '../../domain/ports/images.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';
import type { HeldFile, TreeFacts, TreeLook } from '../../domain/ports/trees.js';
import { asked } from '../gates/handles.js';
import { readMounts } from '../linux/mounts.js';
import { procPath } from '../linux/proc-path.js';
import { fileError } from '../trees/file-error.js';
import { lookAtFile, type LookFacts } from '../trees/tree-look.js';
import { lookInThread } from '../trees/tree-thread.js';

export interface InspectPorts {
  readonly agentId: string;
  readonly imageLocks: ImageLocks & {
    /** Inode numbers of the files that qemu has locked, on all filesystems. */
    lockedInodes(): Promise<ReadonlySet<bigint>>;
  };
}

/** As `Trees.inspect`. */
export async function inspectTree(target: ResolvedTarget, look: TreeLook, ports: InspectPorts): Promise<TreeFacts> {
  const { directory, name, address } = target;
  const { signal, busy, onProgress } = look;
  const real = join(await asked(directory, () => readlink(procPath({ handle: directory }))), name);
  await assertNoMounts(real, address);
  const locked = await ports.imageLocks.lockedInodes();
  const top = await topOf(target);
  const job = { name: Buffer.from(name), agentId: ports.agentId, busy, locked };
  // Starting a thread takes longer than all the other work of moving a file.
  const facts = top.isDirectory()
    ? await lookInThread(directory, job, { path: address, signal, onProgress })
    : lookAtFile(top, job);
  const { items, allocatedBytes } = facts;
  const held = await heldOf(facts.locked, target, ports);
  // A filesystem that has stopped answering can still serve names from the kernel's cache, and the
  // change would hang. Its free space is not cached, so this call detects it.
  await askForSpace(target);
  return {
    items: BigInt(items),
    allocatedBytes,
    heldInodes: locked,
    ...(facts.busy === undefined ? {} : { busy: { key: facts.busy.key, path: pathOf(address, facts.busy.names) } }),
    ...(held === undefined ? {} : { held }),
  };
}

async function askForSpace({ directory, address }: ResolvedTarget): Promise<void> {
  try {
    await asked(directory, () => statfs(procPath({ handle: directory })));
  } catch (error) {
    throw fileError(error, address);
  }
}

async function topOf({ directory, name, address }: ResolvedTarget) {
  try {
    return await asked(directory, () => lstat(procPath({ handle: directory, name }), { bigint: true }));
  } catch (error) {
    throw fileError(error, address);
  }
}

/** As `Trees.heldSince`. */
export async function heldSince(
  target: ResolvedTarget,
  before: ReadonlySet<bigint>,
  signal: AbortSignal,
  ports: InspectPorts,
): Promise<HeldFile | undefined> {
  const now = await ports.imageLocks.lockedInodes();
  const since = new Set([...now].filter((inode) => !before.has(inode)));
  if (since.size === 0) return undefined;
  const { directory, name, address } = target;
  const job = { name: Buffer.from(name), agentId: ports.agentId, busy: new Set<string>(), locked: since };
  const { locked } = await lookInThread(directory, job, { path: address, signal });
  return heldOf(locked, target, ports);
}

/**
 * A bind mount of the same filesystem has no other device number: only the mount table shows it.
 */
async function assertNoMounts(real: string, address: string): Promise<void> {
  const mount = (await readMounts()).find(({ mountPoint }) => isBelow(mountPoint, real));
  if (mount === undefined) return;
  const path = `${address}${mount.mountPoint.slice(real.length)}`;
  throw new HostlerError('OTHER_FILESYSTEM', `another filesystem is mounted on ${path}`, { facts: { path } });
}

/**
 * The first file that qemu has locked, among files with the inode number of a locked file. All of
 * them lie on the filesystem of the top folder.
 */
async function heldOf(
  candidates: LookFacts['locked'],
  { address, directory: handle, name, existing }: ResolvedTarget,
  { imageLocks }: InspectPorts,
): Promise<HeldFile | undefined> {
  for (const { names, inode } of candidates) {
    const [hold = 'none'] = await imageLocks.holds([{ handle, name, inode, ...device(existing) }]);
    if (hold === 'none') continue;
    const file = [name, ...names.map((each) => Buffer.from(each).toString())].join('/');
    const pid = await imageLocks.holder({ handle, name: file });
    return { path: pathOf(address, names), ...(pid === undefined ? {} : { pid }) };
  }
  return undefined;
}

function device(existing: ResolvedTarget['existing']) {
  return existing === undefined ? {} : { device: existing.device };
}

function pathOf(address: string, names: readonly Uint8Array[]): string {
  return [address, ...names.map((name) => Buffer.from(name).toString())].join('/');
}
