/**
 * What `Paths`, `Files`, `ImageLocks`, `Targets` and `Reflink` promise, whatever the storage: files,
 * devices and volumes pass the same suite, by real tools.
 */
import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { procPath } from '../../../src/adapters/linux/proc-path.js';
import type { ImageAddress } from '../../../src/domain/model/address.js';
import type { StorageKind } from '../../../src/domain/ports/handles.js';
import type { StagedImage } from '../../../src/domain/ports/targets.js';
import { plainRun } from '../../../src/domain/ports/tools.js';
import { checkEach } from '../check-each.js';
import type { Scratch } from '../scratch.js';
import { until } from '../until.js';
import { Bench, nextOperation, of, reasonOf } from './bench.js';
import { fileStorage } from './local-storages.js';
import type { Storage } from './storage.js';

/** Call inside describe(); `open` runs in a before(). Some promises are about names: devices keep theirs. */
export function storageContract(
  scratch: Scratch,
  kind: StorageKind,
  open: (context: Mocha.Context) => Promise<Storage>,
): void {
  let bench: Bench;
  before(async function () {
    const storage = await open(this);
    bench = new Bench(storage, scratch, await fileStorage(scratch, scratch.path('sources')));
  });
  checkEach(async () => {
    assert.deepEqual(await bench.storage.leftovers(), []);
  });
  const get = () => bench;
  describe('paths', () => {
    pathsContract(get);
  });
  describe('files', () => {
    filesContract(get);
    if (kind !== 'device') removalContract(get);
  });
  describe('targets', () => {
    publishContract(get);
    if (kind !== 'device') namesContract(get);
    leftContract(get, kind);
  });
  describe('locks', () => {
    locksContract(get);
  });
  describe('reflink', () => {
    reflinkContract(get);
  });
}

function pathsContract(get: () => Bench): void {
  it('an image is the same one each time, with its length', async () => {
    const { address } = await get().image();
    const { kind, bytes } = get().storage;
    const [one, other] = [await get().resolved(address, of), await get().resolved(address, of)];
    assert.deepEqual(one, other);
    assert.deepEqual([one.storage, one.address, one.lengthBytes], [kind, address, BigInt(bytes)]);
    assert.ok(one.writable && one.trusted);
  });
  it('two images are two', async () => {
    const ids = [];
    for (const { address } of [await get().image(), await get().image()])
      ids.push(
        await get().resolved(address, ({ device, inode }) => Promise.resolve(`${String(device)}:${String(inode)}`)),
      );
    assert.notEqual(ids[0], ids[1]);
  });
  it('a target says what is there: the image that a source would be', async () => {
    const { address } = await get().image();
    const { device, inode } = await get().resolved(address, of);
    const target = await get().storage.paths.target(address);
    await target.directory.close();
    assert.deepEqual([target.existing?.device, target.existing?.inode], [device, inode]);
  });
  it('what is not there is IMAGE_NOT_FOUND', async () => {
    const { paths, missing } = get().storage;
    assert.equal(await reasonOf(paths.source(missing)), 'IMAGE_NOT_FOUND');
  });
  it('what lies in no root is refused, to be read, made and named', async () => {
    const { paths, outside } = get().storage;
    assert.equal(await reasonOf(paths.source(outside.address)), outside.reason);
    assert.equal(await reasonOf(paths.target(outside.address)), outside.reason);
    assert.equal(await reasonOf(paths.assertNameable(outside.address)), outside.reason);
  });
  it('what lies where nothing may be written is read, and is ROOT_READ_ONLY as a target', async () => {
    const { paths, readOnly } = get().storage;
    assert.equal(await reasonOf(paths.target(readOnly)), 'ROOT_READ_ONLY');
    assert.equal((await get().resolved(readOnly, of)).writable, false);
  });
  it('the name of a base is found from the image that names it', async () => {
    const [{ address }, base] = [await get().image(), await get().image()];
    const found = await get().resolved(address, async (file) => {
      const named = await get().storage.paths.named(base.address, file);
      await named.handle.close();
      return named.inode;
    });
    assert.equal(found, (await get().resolved(base.address, of)).inode);
  });
}

function filesContract(get: () => Bench): void {
  it('a file that nobody changed is the same when it is looked at again', async () => {
    const { address } = await get().image();
    await get().resolved(address, async (file) => {
      const { files } = get().storage;
      assert.deepEqual(await of(await files.refresh(file)), await of(file));
      assert.deepEqual(await files.fingerprint(file), await files.fingerprint(file));
      assert.equal((await files.fingerprint(file)).lengthBytes, file.lengthBytes);
    });
  });
  it('it takes space, and there is some left beside it', async () => {
    const { address } = await get().image();
    const { files, paths } = get().storage;
    await get().resolved(address, async (file) => {
      assert.ok((await files.allocatedBytes(file)) > 0n);
    });
    const target = await paths.target(address);
    assert.ok((await files.freeBytes(target.directory)) > 0n);
    await target.directory.close();
  });
  it('its bytes are read by ranges, or that is refused', async () => {
    const { address, bytes } = await get().image();
    const { files, isReadable } = get().storage;
    await get().resolved(address, async (file) => {
      const read = files.withBytes(file, async (source) => {
        assert.equal(source.lengthBytes, BigInt(bytes.length));
        const [middle, end] = [await source.read(512n, 1000), await source.read(BigInt(bytes.length - 10), 1000)];
        assert.ok(middle.equals(bytes.subarray(512, 1512)) && end.equals(bytes.subarray(-10)));
      });
      assert.equal(await reasonOf(read), isReadable ? 'none' : 'UNSUPPORTED_BY_BACKEND');
    });
  });
  it('what was written is made durable, by name and by an open file', async () => {
    const { address } = await get().image();
    await get().resolved(address, async (file) => {
      await get().storage.files.sync(file);
      const opened = await get().storage.files.openForChange(file);
      await opened.sync();
      await opened.close();
    });
  });
}

function removalContract(get: () => Bench): void {
  it('a name that is removed stands for nothing', async () => {
    const { storage } = get();
    const { address } = await get().image();
    const target = await storage.paths.target(address);
    await storage.files.remove(target);
    await target.directory.close();
    assert.equal(await reasonOf(storage.paths.source(address)), 'IMAGE_NOT_FOUND');
  });
}

function publishContract(get: () => Bench): void {
  it('what was made has the name when it is published, and is what seal() said', async () => {
    const address = await get().storage.fresh();
    const [made, bytes] = await get().staged(address, async (part) => {
      const written = await get().fill(part);
      const sealed = await of(await part.seal());
      await part.publish();
      return [sealed, written] as const;
    });
    assert.deepEqual(await get().resolved(address, of), made);
    assert.ok((await get().storage.content(address)).equals(bytes));
  });
  it('what may be overwritten is', async () => {
    const { address } = await get().image();
    const write = async (part: StagedImage) => {
      const written = await get().fill(part);
      await part.seal();
      await part.publish();
      return written;
    };
    const bytes = await get().staged(address, write, { overwrite: true });
    assert.ok((await get().storage.content(address)).equals(bytes));
  });
  it('owner and mode are set where there are any, and refused elsewhere', async () => {
    const { attributes } = get().storage;
    const address = await get().storage.fresh();
    const prepared = get().staged(address, () => Promise.resolve(), { attributes: attributes ?? { mode: 0o640 } });
    assert.equal(await reasonOf(prepared), attributes === undefined ? 'UNSUPPORTED_BY_BACKEND' : 'none');
  });
  it('files aside are three, and go with the part', async () => {
    await get().staged(await get().storage.fresh(), async ({ aside, expanded, member }) => {
      const three = [aside, expanded, member];
      assert.equal(new Set(three.map((file) => procPath(file))).size, 3);
      for (const file of three) await writeFile(procPath(file), 'content');
      await aside.truncate(100n);
      assert.equal((await stat(procPath(aside))).size, 100);
      await member.remove();
      await member.remove();
      await writeFile(procPath(member), 'content');
    });
  });
}

/** Where an image has no name until it is published. */
function namesContract(get: () => Bench): void {
  it('what is discarded before it is published never had the name', async () => {
    const { storage } = get();
    const address = await storage.fresh();
    await get().staged(address, async (part) => {
      await get().fill(part);
      await part.seal();
      assert.notDeepEqual(await part.discard(), []);
      assert.deepEqual(await part.discard(), []);
    });
    assert.equal(await reasonOf(storage.paths.source(address)), 'IMAGE_NOT_FOUND');
  });
  it('what was there stays, with TARGET_EXISTS, unless it may be overwritten', async () => {
    const { storage } = get();
    const { address, bytes } = await get().image();
    await get().staged(address, async (part) => {
      await get().fill(part);
      await part.seal();
      assert.equal(await reasonOf(part.publish()), 'TARGET_EXISTS');
    });
    assert.ok((await storage.content(address)).equals(bytes));
  });
}

function leftContract(get: () => Bench, kind: StorageKind): void {
  /** An operation that ended with its daemon: prepared, filled, and never discarded. */
  const left = async (address: ImageAddress, id: string) => {
    const { paths, targets, isInPlace } = get().storage;
    const target = await paths.target(address);
    const part = await targets.prepare(target, { operationId: id, overwrite: isInPlace, attributes: {} });
    await get().fill(part);
    return { target, part };
  };
  it('clean() has nothing to remove where nothing was left, and leaves the target', async () => {
    const { storage } = get();
    const { paths, targets } = storage;
    const { address, bytes } = await get().image();
    const target = await paths.target(address);
    assert.deepEqual(await targets.clean(target, nextOperation()), []);
    assert.equal(await targets.takenBytes(target, nextOperation()), undefined);
    await target.directory.close();
    assert.ok((await storage.content(address)).equals(bytes));
  });
  if (kind !== 'device')
    it('clean() removes what an operation left, and not the target', async () => {
      const { storage } = get();
      const { targets } = storage;
      const [{ address, bytes }, id] = [await get().image(), nextOperation()];
      const { target, part } = await left(address, id);
      assert.notDeepEqual(await targets.clean(target, id), []);
      await part.discard();
      assert.deepEqual(await targets.clean(target, id), []);
      await target.directory.close();
      assert.ok((await storage.content(address)).equals(bytes));
    });
  it('a sweep removes what no operation works on, and leaves the rest', async () => {
    const { storage } = get();
    const id = nextOperation();
    const address = await storage.fresh();
    const { target, part } = await left(address, id);
    await writeFile(procPath(part.aside), 'content');
    const before = await storage.leftovers();
    await storage.targets.sweep((operation) => operation === id);
    assert.deepEqual(await storage.leftovers(), before);
    await storage.targets.sweep(() => false);
    assert.deepEqual(await storage.leftovers(), []);
    await part.discard();
    await target.directory.close();
  });
  it('leave() keeps what can be taken over, and says what it takes', async () => {
    const { storage } = get();
    const [address, id] = [await storage.fresh(), nextOperation()];
    const { target, part } = await left(address, id);
    const bytes = await part.leave();
    assert.equal((await storage.targets.takenBytes(target, id)) ?? 0n, bytes);
    await storage.targets.clean(target, id);
    assert.equal(await storage.targets.takenBytes(target, id), undefined);
    await target.directory.close();
  });
}

function locksContract(get: () => Bench): void {
  it('an image that qemu has open is held by a writer, before and after by nobody', async () => {
    const [{ address }, other] = [await get().image(), await get().image()];
    await get().resolved(address, (file) =>
      get().resolved(other.address, async (free) => {
        const { locks } = get().storage;
        const holds = async () => (await locks.holds([free, file, free])).join(' ');
        assert.equal(await holds(), 'none none none');
        await get().whileOpen(address, async () => {
          await until(async () => (await holds()) === 'none writer none');
        });
        await until(async () => (await holds()) === 'none none none');
      }),
    );
  });
}

function reflinkContract(get: () => Bench): void {
  it('copies without reading, or says why not', async () => {
    const { storage } = get();
    const [{ address, bytes }, copy] = [await get().image(), await storage.fresh()];
    await get().resolved(address, async (file) => {
      const target = await storage.paths.target(copy);
      const objection = await storage.reflink.objection(file, target.directory);
      await target.directory.close();
      assert.equal(objection === undefined, storage.canClone, objection);
      if (objection !== undefined) return;
      await get().staged(copy, async (part) => {
        assert.equal(await storage.reflink.clone(file, part, plainRun()), true);
        await part.seal();
        await part.publish();
      });
      assert.ok((await storage.content(copy)).equals(bytes));
    });
  });
}
