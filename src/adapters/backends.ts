/** One port for each kind of storage: the kind of the address or handle selects the adapter. */
import { asAddress, dirname, isRbd, type ImageAddress } from '../domain/model/address.js';
import { BASE_SCHEME } from '../domain/cache/pool-bases.js';
import { CACHE_SCHEME } from '../domain/cache/cache-entry.js';
import type { BlockHasher } from '../domain/verbs/digest-image.js';
import type { Dependants, Eraser, ImageChanger } from '../domain/ports/changes.js';
import type { Files, ImageLocks } from '../domain/ports/images.js';
import { isDeviceHandle } from './linux/device-handle.js';
import type { DevicePaths } from './devices/device-paths.js';
import { isRbdHandle } from './qemu/rbd-pool.js';
import type { FileRef, Handle } from '../domain/ports/handles.js';
import type { Targets } from '../domain/ports/targets.js';
import type { Chain, ImageTool, Layer, Reflink } from '../domain/ports/tools.js';
import type { Paths } from '../domain/ports/paths.js';

/** The adapters of each kind, for one port. */
export interface Kinds<Port> {
  readonly files: Port;
  readonly devices: Port;
  readonly volumes: Port;
}

function by<Port>({ files, devices, volumes }: Kinds<Port>): (handle: Handle) => Port {
  return (handle) => (isRbdHandle(handle) ? volumes : isDeviceHandle(handle) ? devices : files);
}

/** The daemon's own images, which callers cannot address: cached images, and bases. */
type OwnPaths = Pick<Paths, 'source' | 'target'>;

/**
 * `Paths` of all kinds of storage, and the only place where an address selects the kind. The name
 * of a backing file is looked up in the storage of the image that names it.
 */
export function pathsOf({
  files,
  devices,
  volumes,
  cache,
  bases,
}: Kinds<Paths> & { readonly devices: DevicePaths; readonly cache: OwnPaths; readonly bases: OwnPaths }): Paths {
  const local = (path: ImageAddress) => (devices.has(path) ? devices : files);
  const callers = (address: ImageAddress) => (isRbd(address) ? volumes : local(address));
  const any = (address: ImageAddress) => {
    if (address.startsWith('/')) return local(address);
    if (address.startsWith(CACHE_SCHEME)) return cache;
    return address.startsWith(BASE_SCHEME) ? bases : callers(address);
  };
  return {
    source: (address, reading, folders) => any(address).source(address, reading, folders),
    target: (address) => any(address).target(address),
    named(name, from, folders) {
      if (from.storage === 'volume') return volumes.named(name, from);
      const path = name.startsWith('/') ? name : `${dirname(from.storedName)}/${name}`;
      return local(asAddress(path)).named(name, from, folders);
    },
    entry: (address, need) => callers(address).entry(address, need),
    place: (address, need) => callers(address).place(address, need),
    assertNameable: (address) => callers(address).assertNameable(address),
  };
}

/** `Files` of all kinds of storage; the kind of the handle decides. */
export function filesOf(kinds: Kinds<Files>): Files {
  const of = by(kinds);
  return {
    withBytes: (file, use) => of(file.handle).withBytes(file, use),
    remove: (target) => of(target.directory).remove(target),
    refresh: (file) => of(file.handle).refresh(file),
    fingerprint: (file) => of(file.handle).fingerprint(file),
    sync: (file) => of(file.handle).sync(file),
    openForChange: (file) => of(file.handle).openForChange(file),
    allocatedBytes: (file) => of(file.handle).allocatedBytes(file),
    newRoom: (file, range) => of(file.handle).newRoom(file, range),
    freeBytes: (directory) => of(directory).freeBytes(directory),
  };
}

/**
 * `ImageLocks` of all kinds of storage. `holds` asks each kind once, at the same time, and answers
 * in the order of `images`.
 */
export function locksOf(kinds: Kinds<ImageLocks>): ImageLocks {
  const of = by(kinds);
  return {
    holder: (file) => of(file.handle).holder(file),
    async holds(images, maxAgeMs) {
      const found = new Map<FileRef, 'none' | 'reader' | 'writer'>();
      const asked = [kinds.files, kinds.devices, kinds.volumes].map(async (port) => {
        const own = images.filter(({ handle }) => of(handle) === port);
        if (own.length === 0) return;
        const holds = await port.holds(own, maxAgeMs);
        own.forEach((image, at) => found.set(image, holds[at] ?? 'none'));
      });
      await Promise.all(asked);
      return images.map((image) => found.get(image) ?? 'none');
    },
  };
}

/** `Dependants` of all kinds of storage; the kind of the file's handle decides. */
export function dependantsOf(kinds: Kinds<Dependants>): Dependants {
  return {
    of: (file) => by(kinds)(file.handle).of(file),
    onName: (place, change) => by(kinds)(place.handle).onName(place, change),
  };
}

/**
 * `Targets` of all kinds of storage; the handle of the target's folder decides. `sweep` runs on all
 * kinds at the same time and rejects when one of them fails.
 */
export function targetsOf(kinds: Kinds<Targets>): Targets {
  const of = by(kinds);
  return {
    prepare: (target, request) => of(target.directory).prepare(target, request),
    clean: (target, operationId) => of(target.directory).clean(target, operationId),
    takenBytes: (target, operationId) => of(target.directory).takenBytes(target, operationId),
    async sweep(isAtWork) {
      const removed = await Promise.all(
        [kinds.files, kinds.devices, kinds.volumes].map((port) => port.sweep(isAtWork)),
      );
      return removed.flat();
    },
  };
}

/** qemu-img reads images of all kinds; only their creation differs. */
export function toolOf(kinds: Kinds<ImageMaker> & { readonly reader: ImageReader }): ImageTool {
  const { reader } = kinds;
  const of = by<ImageMaker>(kinds);
  return {
    create: (target, request, run) => of(target.handle).create(target, request, run),
    convert: (source, target, request, run) =>
      of(target.handle).convert(atSnapshot(source, request.snapshot), target, request, run),
    map: (source, run) => reader.map(source, run),
    measure: (source, format, run, what) => reader.measure(atSnapshot(source, what?.snapshot), format, run, what),
    identify: (image, run) => reader.identify(image, run),
    equal: (first, second, run) => reader.equal(first, second, run),
  };
}

type ImageMaker = Pick<ImageTool, 'create' | 'convert'>;
type ImageReader = Omit<ImageTool, keyof ImageMaker>;

/** A snapshot of a volume is a separate volume. */
function atSnapshot(chain: Chain, snapshot: string | undefined): Chain {
  const [top, ...below] = chain;
  const { handle } = top.file;
  if (snapshot === undefined || !isRbdHandle(handle)) return chain;
  const at: Layer = { ...top, file: { ...top.file, handle: handle.at(snapshot) } };
  return [at, ...below];
}

/** The `ImageChanger` for an image; the kind of its top layer's handle decides. */
export function changerOf(kinds: Kinds<ImageChanger>): (chain: Chain) => ImageChanger {
  return ([{ file }]) => by(kinds)(file.handle);
}

/** The `Eraser` for a file; the kind of its handle decides. */
export function eraserOf(kinds: Kinds<Eraser>): (file: FileRef) => Eraser {
  return ({ handle }) => by(kinds)(handle);
}

/** `BlockHasher` of all kinds of storage; the kind of the file's handle decides. */
export function hasherOf(kinds: Kinds<BlockHasher>): BlockHasher {
  return { digest: (file, extents, work) => by(kinds)(file.handle).digest(file, extents, work) };
}

/** Only two images of the same kind can share extents. */
export function reflinkOf({ files, volumes }: Omit<Kinds<Reflink>, 'devices'>): Reflink {
  const of = (handle: Handle) => (isRbdHandle(handle) ? volumes : files);
  const between = (source: FileRef, target: Handle) => (isRbdHandle(source.handle) ? volumes : of(target));
  return {
    describe: (source) => of(source.handle).describe(source),
    objection: (source, directory) =>
      isDeviceHandle(source.handle) || isDeviceHandle(directory)
        ? Promise.resolve('a block device shares nothing')
        : between(source, directory).objection(source, directory),
    clone: (source, target, run) => between(source, target.handle).clone(source, target, run),
  };
}
