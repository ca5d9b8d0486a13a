/** Headers of files that have not changed are not read again; those of all others are. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, open, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { RootedPaths } from '../../src/adapters/paths/paths.js';
import { openRoots, type Root } from '../../src/adapters/paths/roots.js';
import { TableWalk } from '../../src/adapters/qemu/table-walk.js';
import { PathScope } from '../../src/domain/access/path-scope.js';
import { AnswersOfFiles, knownHeaders } from '../../src/domain/images/known-headers.js';
import { ImageReader } from '../../src/domain/images/read-image.js';
import { asAddress } from '../../src/domain/model/address.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import type { ImageFormat } from '../../src/domain/model/image-format.js';
import type { AddressedFile, Resolved } from '../../src/domain/ports/handles.js';
import type { ByteSource } from '../../src/domain/ports/images.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const [MIB, MINUTE_MS] = [1 << 20, 60_000];

/** Notes which files are opened to be read. */
class NotedFiles extends LocalFiles {
  readonly opened: string[] = [];

  override withBytes<T>(file: AddressedFile, use: (bytes: ByteSource) => Promise<T>): Promise<T> {
    this.opened.push(file.address);
    return super.withBytes(file, use);
  }
}

async function failed(work: Promise<unknown>): Promise<HostlerError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof HostlerError, String(error));
  return error;
}

describe('known headers', () => {
  const scratch = scratchFolder();
  const at = (name: string) => asAddress(scratch.path('root', name));
  const roots: Root[] = [];
  const openPaths = () => new RootedPaths(roots, { closed: [], own: [] }, new PathScope());

  before(async () => {
    await mkdir(scratch.path('root'));
    const root = { path: scratch.path('root'), access: 'read-write', trusted: true, attributes: {} } as const;
    roots.push(...(await openRoots([root], 5000)));
    scratch.onEnd(() => Promise.all(roots.map(({ handle }) => handle.close())));
  });

  /** A reader to which nothing is known, and for whose clock every file was changed a minute ago. */
  const newReader = () => {
    const [paths, files, clock] = [openPaths(), new NotedFiles(), { aheadMs: MINUTE_MS }];
    const raw: string[] = [];
    const reader = new ImageReader({
      ...{ paths, files, wholeness: new TableWalk() },
      foreign: { allowed: true, maxBytes: 1n << 40n },
      onRaw: ({ address }) => raw.push(address),
      known: knownHeaders(() => Date.now() + clock.aheadMs),
    });
    const using = async <T>(name: string, use: (file: Resolved) => Promise<T>): Promise<T> => {
      const file = await paths.source(at(name));
      try {
        return await use(file);
      } finally {
        await file.handle.close();
      }
    };
    const facts = (name: string, declared?: ImageFormat) => using(name, (file) => reader.facts(file, declared));
    const mibOf = async (name: string) => Number((await facts(name)).virtualSizeBytes) / MIB;
    const chainMib = async (name: string) => {
      const chain = await reader.follow(await paths.source(at(name)), 'qcow2');
      await Promise.all(chain.map(({ file }) => file.handle.close()));
      return chain.map((layer) => Number(layer.facts.virtualSizeBytes) / MIB);
    };
    return { reader, files, clock, raw, using, facts, mibOf, chainMib };
  };
  const create = (name: string, mib: number, ...words: readonly string[]) =>
    sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...words, at(name), `${String(mib)}M`);
  /** Puts the header of another image into a file, which stays as long as it was. */
  const rewrite = async (name: string, from: string) => {
    const [target, source] = [await open(at(name), 'r+'), await open(at(from))];
    try {
      const { buffer, bytesRead } = await source.read(Buffer.alloc(4096), 0, 4096, 0);
      await target.write(buffer, 0, bytesRead, 0);
    } finally {
      await Promise.all([target.close(), source.close()]);
    }
  };

  it('are read once for each question', async () => {
    await create('once', 3);
    const { files, facts } = newReader();
    const first = await facts('once');
    assert.equal(first.virtualSizeBytes, BigInt(3 * MIB));
    assert.deepEqual(await facts('once'), first);
    assert.equal(files.opened.length, 1);
    assert.deepEqual(await facts('once', 'qcow2'), first);
    assert.deepEqual(await facts('once', 'qcow2'), first);
    assert.equal(files.opened.length, 2);
    assert.equal((await failed(facts('once', 'vmdk'))).reason, 'FORMAT_MISMATCH');
    assert.equal((await failed(facts('once', 'vmdk'))).reason, 'FORMAT_MISMATCH');
  });

  it('are read again when the file is written in place, also if its length and modify time stay', async () => {
    await create('inside', 3);
    await create('other', 5);
    const { mibOf } = newReader();
    const { atime, mtime, size } = await stat(at('inside'));
    await utimes(at('inside'), atime, mtime);
    assert.equal(await mibOf('inside'), 3);
    await rewrite('inside', 'other');
    await utimes(at('inside'), atime, mtime);
    const after = await stat(at('inside'));
    assert.deepEqual([after.mtime, after.size], [mtime, size]);
    assert.equal(await mibOf('inside'), 5);
  });

  it('are read again when a file that is open is written by whoever had it open before', async () => {
    await create('guests', 3);
    await create('bigger', 9);
    const { mibOf } = newReader();
    const [guest, head] = [await open(at('guests'), 'r+'), Buffer.alloc(4096)];
    try {
      assert.equal(await mibOf('guests'), 3);
      const bigger = await open(at('bigger'));
      await bigger.read(head, 0, head.length, 0).finally(() => bigger.close());
      await guest.write(head, 0, head.length, 0);
      assert.equal(await mibOf('guests'), 9);
    } finally {
      await guest.close();
    }
  });

  it('are read again when another file takes the name', async () => {
    await create('name', 3);
    await create('next', 4);
    const { mibOf } = newReader();
    assert.equal(await mibOf('name'), 3);
    await rename(at('next'), at('name'));
    assert.equal(await mibOf('name'), 4);
  });

  it('are known by the file, not by its name', async () => {
    await create('moved', 3);
    const { files, mibOf } = newReader();
    assert.equal(await mibOf('moved'), 3);
    // A rename changes the change time of the file.
    await rename(at('moved'), at('moved-to'));
    assert.equal(await mibOf('moved-to'), 3);
    assert.deepEqual(files.opened, [at('moved'), at('moved-to')]);
    await copyFile(at('moved-to'), at('copied'));
    assert.equal(await mibOf('copied'), 3);
    assert.equal(files.opened.length, 3);
  });

  it('are not kept of a file that may change again within the same tick of the clock', async () => {
    await create('tick', 3);
    await create('tock', 5);
    const { clock, using, reader } = newReader();
    const ask = (file: Resolved) => reader.facts(file, undefined).then((facts) => Number(facts.virtualSizeBytes) / MIB);
    await using('tick', async (file) => {
      // The times of `file` stay what they are: as of a file that is written twice in a tick.
      const changedMs = Number((file.changeTimeNs ?? 0n) / 1_000_000n);
      const since = (ms: number) => (clock.aheadMs = changedMs + ms - Date.now());
      since(1000);
      assert.equal(await ask(file), 3);
      await rewrite('tick', 'tock');
      assert.equal(await ask(file), 5);
      // The file comes from the future: the clock was set back.
      since(-60_000);
      assert.equal(await ask(file), 5);
      await create('tick', 3);
      assert.equal(await ask(file), 3);
      // With times that are settled the answer is kept, so the ticks are what was tested above.
      since(5000);
      assert.equal(await ask(file), 3);
      await rewrite('tick', 'tock');
      assert.equal(await ask(file), 3);
    });
  });

  it('are read again after a minute, and when the clock is set back', async () => {
    await create('old', 3);
    const { files, clock, mibOf } = newReader();
    const opened = async (aheadMs: number) => {
      clock.aheadMs = aheadMs;
      await mibOf('old');
      return files.opened.length;
    };
    assert.equal(await opened(10 * MINUTE_MS), 1);
    assert.equal(await opened(10.5 * MINUTE_MS), 1);
    assert.equal(await opened(11.1 * MINUTE_MS), 2);
    assert.equal(await opened(5 * MINUTE_MS), 3);
    assert.equal(await opened(5.5 * MINUTE_MS), 3);
  });

  it('of a file that is no image as declared are asked for each time', async () => {
    await create('mended', 3);
    await writeFile(at('broken'), Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(4088)]));
    const { reader, using } = newReader();
    await using('broken', async (file) => {
      assert.equal((await failed(reader.facts(file, 'qcow2'))).reason, 'IMAGE_MALFORMED');
      assert.equal((await failed(reader.facts(file, 'qcow2'))).reason, 'IMAGE_MALFORMED');
      await rewrite('broken', 'mended');
      assert.equal((await reader.facts(file, 'qcow2')).virtualSizeBytes, BigInt(3 * MIB));
    });
  });

  it('of a chain are those of now, in each layer', async () => {
    await create('base', 3);
    await create('middle', 4, '-F', 'qcow2', '-b', 'base');
    await create('top', 5, '-F', 'qcow2', '-b', 'middle');
    const { files, chainMib } = newReader();
    assert.deepEqual(await chainMib('top'), [5, 4, 3]);
    assert.deepEqual(await chainMib('top'), [5, 4, 3]);
    assert.equal(files.opened.length, 3);
    await sh('qemu-img', 'resize', '-q', '-f', 'qcow2', at('base'), '8M');
    assert.deepEqual(await chainMib('top'), [5, 4, 8]);
    assert.deepEqual(files.opened.slice(3), [at('base')]);
    await create('base', 9);
    assert.deepEqual(await chainMib('top'), [5, 4, 9]);
    await sh('qemu-img', 'rebase', '-u', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base', at('top'));
    assert.deepEqual(await chainMib('top'), [5, 9]);
  });

  it('a disk that is declared as raw is reported each time, until it holds an image', async () => {
    await writeFile(at('disk'), Buffer.alloc(MIB));
    await create('image', 3);
    const { files, raw, facts } = newReader();
    await facts('disk', 'raw');
    await facts('disk', 'raw');
    assert.deepEqual([raw.length, files.opened.length], [2, 1]);
    await rewrite('disk', 'image');
    await facts('disk', 'raw');
    assert.equal(raw.length, 2);
  });

  it('take no more memory than they may: the oldest are forgotten, the largest not kept', async () => {
    const [name, each] = ['many', 1000];
    await create(name, 3);
    const file = await openPaths().source(at(name));
    const known = new AnswersOfFiles<number>(
      20 * each,
      (bytes) => bytes,
      () => Date.now() + MINUTE_MS,
    );
    let asked: number[] = [];
    const ask = async (n: number, bytes = each) => {
      const like = { ...file, inode: BigInt(n) };
      await known.of(like, '', () => {
        asked.push(n);
        return Promise.resolve(bytes);
      });
    };
    for (let n = 0; n < 100; n++) await ask(n);
    asked = [];
    for (let n = 99; n >= 0; n--) await ask(n);
    // With its key each takes more than its own bytes.
    const kept = 100 - asked.length;
    assert.ok(kept >= 10 && kept < 20, String(kept));
    assert.deepEqual(
      asked,
      Array.from({ length: 100 - kept }, (_, n) => 99 - kept - n),
    );
    await ask(1000, 1 << 20);
    asked = [];
    await ask(1000, 1 << 20);
    await ask(0);
    assert.deepEqual(asked, [1000]);
    await file.handle.close();
  });
});
