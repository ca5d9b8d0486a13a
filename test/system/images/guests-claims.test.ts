/** What a guest writes into its own disk says nothing of others' disks; what an image says does. */
import assert from 'node:assert/strict';
import { mkdir, open, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { descriptor } from '../../support/images/vmdk-files.js';

describe('a base that a guest claims', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const options = () => ({
    toml: `[[listeners]]\naddress = "unix://${scratch.path('daemon/viewer.sock')}"\nrole = "viewer"\n`,
    roots:
      `[[roots]]\npath = "${scratch.path('daemon', 'images')}"\n` +
      `[[roots]]\npath = "${scratch.path('daemon', 'drop')}"\ntrusted = false\n`,
  });
  before(async () => {
    for (const name of ['images', 'drop']) await mkdir(scratch.path('daemon', name), { recursive: true });
    daemon = await Daemon.start(scratch.path('daemon'), options());
    scratch.onEnd(() => daemon.stop());
  });
  const at = (name: string) => daemon.image(name);
  const create = (name: string, more = {}) =>
    daemon.stranger.operation('ImageService/CreateImage', { path: at(name), format: 'raw', size: '1M', ...more });
  const remove = (name: string) => daemon.stranger.operation('ImageService/DeleteImage', { path: at(name) });
  const overlay = (path: string, base: string) =>
    sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'raw', '-b', base, path, '1M');
  /** As the guest does: the file stays what it is, its bytes change. */
  const writeHeader = async (disk: string, base: string) => {
    const made = scratch.path('header');
    await overlay(made, base);
    await sh('dd', `if=${made}`, `of=${disk}`, 'conv=notrunc', 'status=none');
  };

  it('does not keep the base: the disk was made raw, by every verb that makes one', async () => {
    const source = scratch.path('daemon/images/source.raw');
    await writeFile(source, Buffer.alloc(1 << 20));
    const makers: [string, (path: string) => Promise<unknown>][] = [
      ['created', (path) => daemon.stranger.operation('ImageService/CreateImage', { path, format: 'raw', size: '1M' })],
      [
        'converted',
        (target) =>
          daemon.stranger.operation('ImageService/ConvertImage', {
            source,
            source_format: 'raw',
            target,
            target_format: 'raw',
          }),
      ],
      [
        'fetched',
        (target) =>
          daemon.stranger.operation('ImageService/FetchImage', {
            source: { file: { path: source } },
            target,
            target_format: 'raw',
          }),
      ],
    ];
    for (const [name, make] of makers) {
      await make(at(`guest-${name}`));
      await create(`victim-${name}`);
      await writeHeader(at(`guest-${name}`), at(`victim-${name}`));
      await remove(`victim-${name}`);
    }
  });

  const op = (rpc: string, request: Message, who = daemon.stranger) => who.operation(`ImageService/${rpc}`, request);
  const plain = (name: string) => writeFile(at(name), Buffer.alloc(1 << 20));
  const grow = (name: string, more = {}) => op('ResizeImage', { path: at(name), format: 'raw', size: '2M', ...more });
  const copy = (name: string) => op('CopyImage', { source: at(`${name}-source`), target: at(name) });
  const known: Record<string, (name: string) => Promise<unknown>> = {
    'was made raw and has grown': async (name) => (await create(name), await grow(name)),
    'was made raw and has grown with a header in it': async (name) => {
      await create(name);
      await writeHeader(at(name), at('source.raw'));
      await grow(name);
    },
    'was made raw and has shrunk': async (name) => {
      await create(name, { size: '4M' });
      await grow(name, { allow_shrink: true });
    },
    'was made raw and wiped': async (name) => {
      await create(name);
      await op('WipeImage', { path: at(name), mode: 'WIPE_MODE_ZERO' });
    },
    'is a copy of one that was made raw': async (name) => (await create(`${name}-source`), await copy(name)),
    'is a copy of one with a header in it': async (name) => {
      await create(`${name}-source`);
      await writeHeader(at(`${name}-source`), at('source.raw'));
      await copy(name);
      await rm(at(`${name}-source`));
    },
    'was fetched as it is from one that was made raw': async (name) => {
      await create(`${name}-source`);
      await op('FetchRawImage', { source: { file: { path: at(`${name}-source`) } }, target: at(name) });
    },
    'was declared raw to be looked at': async (name) => {
      await plain(name);
      await daemon.stranger.unary('ImageService/GetImageInfo', { path: at(name), format: 'raw' });
    },
    'was declared raw to be converted': async (name) => {
      await plain(name);
      const target = at(`${name}-copy`);
      await op('ConvertImage', { source: at(name), source_format: 'raw', target, target_format: 'qcow2' });
    },
    'was declared raw to grow': async (name) => (await plain(name), await grow(name)),
    'was declared raw as a base': async (name) => {
      await plain(name);
      await op('CreateOverlay', { path: at(`${name}-over`), backing_file: at(name), backing_format: 'raw' });
    },
  };
  for (const [title, make] of Object.entries(known))
    it(`does not keep the base: the disk ${title}`, async () => {
      const name = title.replaceAll(' ', '-');
      await make(name);
      await create(`victim-of-${name}`);
      await writeHeader(at(name), at(`victim-of-${name}`));
      await remove(`victim-of-${name}`);
    });

  it('keeps the base where nobody who may change the disk has declared what it is', async () => {
    const look = (path: string, who: Stranger) => who.unary('ImageService/GetImageInfo', { path, format: 'raw' });
    const viewer = new Stranger(`unix://${scratch.path('daemon/viewer.sock')}`);
    const unknown: Record<string, (name: string, base: string) => Promise<unknown>> = {
      'it was an image when it was declared raw': async (name, base) => {
        await overlay(at(name), at(base));
        await look(at(name), daemon.stranger);
        await op('DigestImage', { path: at(name) });
      },
      'it was declared by who may only look': async (name, base) => {
        await plain(name);
        await look(at(name), viewer);
        await writeHeader(at(name), at(base));
      },
      'it is a copy of an image': async (name, base) => (
        await overlay(at(`${name}-source`), at(base)),
        await copy(name)
      ),
      'an image was made of it': async (name, base) => {
        await plain(name);
        await look(at(name), daemon.stranger);
        await overlay(at(name), at(base));
      },
      'an image was put into its place': async (name, base) => {
        await plain(name);
        await look(at(name), daemon.stranger);
        await overlay(at(`${name}-new`), at(base));
        await truncate(at(`${name}-new`), 1 << 20);
        await rename(at(`${name}-new`), at(name));
      },
    };
    try {
      for (const [n, [title, make]] of Object.entries(unknown).entries()) {
        await create(`needed-${String(n)}`);
        await make(`unknown-${String(n)}`, `needed-${String(n)}`);
        const error = await failure(remove(`needed-${String(n)}`));
        assert.equal(error.reason, 'IMAGE_HAS_DEPENDANTS', title);
      }
    } finally {
      viewer.close();
    }
  });

  it('does not keep the files of its folder that a descriptor in it names; what is no disk does', async () => {
    const text = descriptor(['RW 2048 FLAT "claimed" 0']);
    await create('guest-text');
    await create('claimed');
    const file = await open(at('guest-text'), 'r+');
    await file.write(text, 0);
    await file.close();
    await remove('claimed');
    await create('claimed');
    await writeFile(at('claims.vmdk'), text);
    assert.equal((await failure(remove('claimed'))).metadata['dependants'], at('claims.vmdk'));
    await rm(at('claims.vmdk'));
    await remove('claimed');
  });

  it('does not keep the base after a restart either', async () => {
    await create('guest.raw');
    for (const name of ['first.raw', 'second.raw']) await create(name);
    await writeHeader(at('guest.raw'), at('first.raw'));
    await remove('first.raw');
    await daemon.stop();
    daemon = await Daemon.start(scratch.path('daemon'), options());
    await writeHeader(at('guest.raw'), at('second.raw'));
    await remove('second.raw');
  });

  it('is one where the file is no longer what the daemon made', async () => {
    const changes: [string, (path: string, base: string) => Promise<unknown>][] = [
      ['an image is made in its place', overlay],
      ['it was removed, and its name is an image', async (path, base) => (await rm(path), overlay(path, base))],
      ['it has another length', async (path, base) => (await writeHeader(path, base), truncate(path, 3 << 20))],
    ];
    for (const [n, [title, change]] of changes.entries()) {
      const [guest, base] = [`changed-${String(n)}`, `base-${String(n)}`];
      await create(guest);
      await create(base);
      await change(at(guest), at(base));
      assert.equal((await failure(remove(base))).reason, 'IMAGE_HAS_DEPENDANTS', title);
    }
  });

  it('in a root whose images are foreign keeps nothing', async () => {
    await create('wanted.raw');
    await overlay(scratch.path('daemon/drop/claims'), at('wanted.raw'));
    await remove('wanted.raw');
  });

  it('keeps its base although its other tables cannot be read', async () => {
    const spoil: [string, number, Buffer][] = [
      ['more snapshots than are read', 60, Buffer.from('0000ffff', 'hex')],
      ['a snapshot table beyond everything', 60, Buffer.from('000000017fffffffffffffff', 'hex')],
      ['a header of no length', 100, Buffer.from('ffffffff', 'hex')],
    ];
    for (const [n, [title, offset, bytes]] of spoil.entries()) {
      const base = `kept-${String(n)}`;
      await create(base);
      await overlay(at(`over-${String(n)}`), at(base));
      const file = await open(at(`over-${String(n)}`), 'r+');
      await file.write(bytes, 0, bytes.length, offset);
      await file.close();
      assert.equal((await failure(remove(base))).reason, 'IMAGE_HAS_DEPENDANTS', title);
    }
  });
});
