/** One port for each kind of storage behind it: what an address or a handle belongs to decides who is asked. */
import { isRbd, type ImageAddress } from '../domain/address.js';
import type { Dependants, Eraser, ImageChanger } from '../domain/change-ports.js';
import type {
  Chain,
  FileRef,
  Files,
  Handle,
  ImageLocks,
  ImageTool,
  Layer,
  Paths,
  Reflink,
  Targets,
} from '../domain/ports.js';
import { isRbdHandle } from './rbd/pool.js';

/** The adapters of the two kinds, for one port. */
export interface Both<Port> {
  readonly files: Port;
  readonly volumes: Port;
}

function by<Port>({ files, volumes }: Both<Port>): (handle: Handle) => Port {
  return (handle) => (isRbdHandle(handle) ? volumes : files);
}

export function pathsOf({ files, volumes }: Both<Paths>): Paths {
  const of = (address: ImageAddress) => (isRbd(address) ? volumes : files);
  return {
    source: (address) => of(address).source(address),
    named: (name, from) => files.named(name, from),
    entry: (address, need) => of(address).entry(address, need),
    target: (address) => of(address).target(address),
  };
}

export function filesOf(both: Both<Files>): Files {
  const of = by(both);
  return {
    withBytes: (file, use) => of(file.handle).withBytes(file, use),
    remove: (target) => of(target.directory).remove(target),
    refresh: (file) => of(file.handle).refresh(file),
    fingerprint: (file) => of(file.handle).fingerprint(file),
    sync: (file) => of(file.handle).sync(file),
    allocatedBytes: (file) => of(file.handle).allocatedBytes(file),
    freeBytes: (directory) => of(directory).freeBytes(directory),
  };
}

export function locksOf(both: Both<ImageLocks>): ImageLocks {
  const of = by(both);
  return {
    holder: (file) => of(file.handle).holder(file),
    async holds(images, maxAgeMs) {
      const found = new Map<FileRef, 'none' | 'reader' | 'writer'>();
      const kinds = [both.files, both.volumes].map(async (port) => {
        const own = images.filter(({ handle }) => of(handle) === port);
        if (own.length === 0) return;
        const holds = await port.holds(own, maxAgeMs);
        own.forEach((image, at) => found.set(image, holds[at] ?? 'none'));
      });
      await Promise.all(kinds);
      return images.map((image) => found.get(image) ?? 'none');
    },
  };
}

export function dependantsOf(both: Both<Dependants>): Dependants {
  return { of: (file) => by(both)(file.handle).of(file) };
}

export function targetsOf(both: Both<Targets>): Targets {
  const of = by(both);
  return {
    prepare: (target, request) => of(target.directory).prepare(target, request),
    clean: (target, operationId) => of(target.directory).clean(target, operationId),
    takenBytes: (target, operationId) => of(target.directory).takenBytes(target, operationId),
    async sweep(isAtWork) {
      const removed = await Promise.all([both.files.sweep(isAtWork), both.volumes.sweep(isAtWork)]);
      return removed.flat();
    },
  };
}

/** qemu-img reads images of both kinds; only what makes one differs. */
export function toolOf(both: { readonly files: ImageTool; readonly volumes: ImageMaker }): ImageTool {
  const of = by<ImageMaker>(both);
  return {
    create: (target, request, run) => of(target.handle).create(target, request, run),
    convert: (source, target, request, run) =>
      of(target.handle).convert(atSnapshot(source, request.snapshot), target, request, run),
    map: (source, run) => both.files.map(source, run),
    measure: (source, format, run) => both.files.measure(source, format, run),
    identify: (file, run) => both.files.identify(file, run),
    equal: (first, second, run) => both.files.equal(first, second, run),
  };
}

type ImageMaker = Pick<ImageTool, 'create' | 'convert'>;

/** A snapshot of a volume is a volume of its own. */
function atSnapshot(chain: Chain, snapshot: string | undefined): Chain {
  const [top, ...below] = chain;
  const { handle } = top.file;
  if (snapshot === undefined || !isRbdHandle(handle)) return chain;
  const at: Layer = { ...top, file: { ...top.file, handle: handle.at(snapshot) } };
  return [at, ...below];
}

export function changerOf(both: Both<ImageChanger>): ImageChanger {
  const of = by(both);
  const one = ({ chain: [{ file }] }: { readonly chain: Chain }) => of(file.handle);
  return {
    resize: (image, request, run) => one(image).resize(image, request, run),
    copyUp: (image, base, run) => one(image).copyUp(image, base, run),
    setBase: (image, base, run) => one(image).setBase(image, base, run),
    commit: (image, depth, run) => one(image).commit(image, depth, run),
    check: (image, repair, run) => one(image).check(image, repair, run),
    compare: (first, second, strict, run) => both.files.compare(first, second, strict, run),
    createSnapshot: (image, name, run) => one(image).createSnapshot(image, name, run),
    deleteSnapshot: (image, name, run) => one(image).deleteSnapshot(image, name, run),
    revertSnapshot: (image, id, run) => one(image).revertSnapshot(image, id, run),
  };
}

export function eraserOf(both: Both<Eraser>): Eraser {
  const of = by(both);
  return {
    zero: (file, data, run) => of(file.handle).zero(file, data, run),
    discard: (file, run) => of(file.handle).discard(file, run),
  };
}

/** Only two of one kind can share. */
export function reflinkOf(both: Both<Reflink>): Reflink {
  const of = by(both);
  const between = (source: FileRef, target: Handle) => (isRbdHandle(source.handle) ? both.volumes : of(target));
  return {
    describe: (source) => of(source.handle).describe(source),
    objection: (source, directory) => between(source, directory).objection(source, directory),
    clone: (source, target, run) => between(source, target.handle).clone(source, target, run),
  };
}
