import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import type { LockKey } from './resources/locks.js';
import type { NewFolder, Resolution } from './verb.js';
import type { Entry, FileIdentity, Handle, Located, Resolved } from '../ports/handles.js';
import type { ResolvedTarget } from '../ports/targets.js';
import type { Chain } from '../ports/tools.js';

/** Everything that an operation uses, resolved once; close it when the operation is over. */
export class Admitted implements Resolution {
  readonly files = new Map<ImageAddress, Resolved>();
  readonly chains = new Map<ImageAddress, Chain>();
  readonly targets = new Map<ImageAddress, ResolvedTarget>();
  readonly entries = new Map<ImageAddress, Entry>();
  readonly newFolders = new Map<ImageAddress, NewFolder>();
  readonly keys: LockKey[] = [];
  /**
   * Rejects with IMAGE_IN_USE if a process writes to a source; may settle after the work has begun.
   */
  sourcesFree: Promise<void> = Promise.resolve();
  /** Checks again, because a writer may have come since. */
  askSourcesFree: () => Promise<void> = () => Promise.resolve();
  /**
   * The same check for images that are written, replaced or removed, which no process may hold at
   * all.
   */
  askUnheld: () => Promise<void> = () => Promise.resolve();
  readonly #handles: Handle[] = [];

  readonly file: Resolution['file'] = (address) => known(this.files, address);

  readonly chain: Resolution['chain'] = (address) => known(this.chains, address);

  readonly target: Resolution['target'] = (address) => known(this.targets, address);

  readonly removal: Resolution['removal'] = (address) => this.targets.get(address);

  readonly newFolder: Resolution['newFolder'] = (address) => this.newFolders.get(address);

  readonly entry: Resolution['entry'] = (address) => this.entries.get(address);

  get filesystems(): string[] {
    const devices = [
      ...[...this.files.values(), ...this.entries.values()].map(({ device }) => device),
      ...[...this.targets.values()].map(({ directoryIdentity }) => directoryIdentity.device),
    ];
    return [...new Set(devices.map(String))];
  }

  addFile(file: Resolved, mode: 'read' | 'write'): void {
    this.keep([file.handle]);
    this.lock(file, mode);
  }

  /** @param tree with everything below it */
  addTarget(target: ResolvedTarget, tree = false): void {
    const { address, directory, directoryIdentity, name, existing, realPath } = target;
    this.#handles.push(directory);
    this.targets.set(address, target);
    const place = { address, ...(realPath === undefined ? {} : { realPath }) };
    const key = { ...fileKey({ ...directoryIdentity, ...place }, 'write'), ...(tree ? { tree } : {}) };
    this.keys.push({ ...key, key: `${key.key}/${name}` });
    if (existing !== undefined) this.keys.push(fileKey({ ...existing, ...place }, 'write'));
  }

  /** Adds a folder to be created, unless it exists. */
  addNewFolder(address: ImageAddress, folder: NewFolder): void {
    this.addTarget(folder.topmost);
    this.newFolders.set(address, folder);
  }

  /** Adds what was admitted later; it is closed together with this. */
  join(later: Admitted): void {
    this.#handles.push(...later.#handles);
  }

  /** Handles that are closed at the end, with everything else. */
  keep(handles: readonly Handle[]): void {
    this.#handles.push(...handles);
  }

  lock(file: Resolved, mode: 'read' | 'write'): void {
    this.keys.push(fileKey(file, mode));
  }

  addEntry(entry: Entry, mode: 'read' | 'write' = 'write'): void {
    this.#handles.push(entry.handle);
    this.entries.set(entry.address, entry);
    this.keys.push(fileKey(entry, mode));
  }

  async close(): Promise<void> {
    await Promise.all(this.#handles.map((handle) => handle.close()));
  }
}

function known<T>(map: ReadonlyMap<ImageAddress, T>, address: ImageAddress): T {
  const value = map.get(address);
  if (value === undefined) throw new HostlerError('BUG', `${address} was not declared in uses()`);
  return value;
}

function identityText({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}

function fileKey(
  { address: path, realPath, ...identity }: FileIdentity & Located & { readonly address: ImageAddress },
  mode: 'read' | 'write',
): LockKey {
  return { key: identityText(identity), mode, path, ...(realPath === undefined ? {} : { realPath }) };
}
