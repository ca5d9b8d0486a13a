/**
 * A file that cannot be read as the image that it begins as is one warning, whoever looks and
 * however often.
 */
import assert from 'node:assert/strict';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const NAMED = 'a file cannot be read as the image that it begins as';
const LOOKS = 5;

const BAD: Record<string, (path: string) => Promise<unknown>> = {
  'cut.qcow2': (path) => writeFile(path, Buffer.from('514649fb00000003', 'hex')),
  'snapshots.qcow2': async (path) => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');
    await spoil(path, 60, Buffer.from('0000ffff', 'hex'));
  },
  'version.qed': (path) => writeFile(path, Buffer.concat([Buffer.from('QED\0'), Buffer.alloc(100, 0xff)])),
  'cut.vmdk': (path) => writeFile(path, Buffer.from('4b444d5601000000', 'hex')),
  // Formats that have no base: what they may still grow by is asked for all the same.
  'cut.vdi': async (path) => {
    await sh('qemu-img', 'create', '-q', '-f', 'vdi', path, '1M');
    await spoil(path, 0x154, Buffer.alloc(120, 0xff));
  },
  'header.vhdx': async (path) => {
    await sh('qemu-img', 'create', '-q', '-f', 'vhdx', path, '1M');
    await spoil(path, 0x10000, Buffer.alloc(0x40000, 0xff));
  },
};
const GOOD: Record<string, (path: string) => Promise<unknown>> = {
  'empty.raw': (path) => writeFile(path, ''),
  'note.txt': (path) => writeFile(path, 'QFI, but no qcow2'),
  'good.qcow2': (path) => sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M'),
};

async function spoil(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

describe('bad files in a root', () => {
  const scratch = scratchFolder();
  let folder = '';
  let daemon: Daemon;
  const warnings = () => daemon.records().filter(({ message }) => message === NAMED);
  const named = () => warnings().map(({ path }) => String(path).slice(folder.length + 1));
  const overcommitted = async () => {
    const { filesystem } = await daemon.stranger.unary('HostInfoService/GetFilesystemInfo', { path: folder });
    return (filesystem as Message)['overcommitted_bytes'];
  };
  /** Each asks the index of dependants. */
  const look = async () => {
    await writeFile(`${folder}/passing`, 'x');
    await daemon.stranger.operation('ImageService/DeleteImage', { path: `${folder}/passing` });
  };

  before(async () => {
    folder = scratch.path('daemon', 'images');
    await mkdir(folder, { recursive: true });
    for (const [name, make] of Object.entries({ ...BAD, ...GOOD })) await make(`${folder}/${name}`);
    daemon = await Daemon.start(scratch.path('daemon'));
    scratch.onEnd(() => daemon.stop());
    // A raw disk of a guest: whatever is in it, it is data.
    const guest = { path: `${folder}/guest.raw`, format: 'raw', size: '1M' };
    await daemon.stranger.operation('ImageService/CreateImage', guest);
    await spoil(guest.path, 0, Buffer.from('514649fb000000030000ffffffffffff', 'hex'));
    await until(async () => (await overcommitted()) !== undefined);
    for (let looks = 0; looks < LOOKS; looks++) await look();
  });

  it('are one warning each, with the path and the reason', () => {
    assert.deepEqual(named().sort(), Object.keys(BAD).sort());
    for (const { path, why } of warnings()) assert.ok(String(why).length > 10, String(path));
  });
  it('fail nothing else', async () => {
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-u',
      '-f',
      'qcow2',
      '-F',
      'qcow2',
      '-b',
      'good.qcow2',
      `${folder}/over.qcow2`,
      '1M',
    );
    await assert.rejects(daemon.stranger.operation('ImageService/DeleteImage', { path: `${folder}/good.qcow2` }));
    await rm(`${folder}/over.qcow2`);
    await daemon.stranger.operation('ImageService/DeleteImage', { path: `${folder}/good.qcow2` });
  });
  it('are named anew where another one is in their place, and when they are somewhere else', async () => {
    const before = named().length;
    await BAD['cut.qcow2']?.(`${folder}/new`);
    await rename(`${folder}/new`, `${folder}/cut.qcow2`);
    await rename(`${folder}/version.qed`, `${folder}/moved.qed`);
    for (let looks = 0; looks < LOOKS; looks++) await look();
    assert.deepEqual(named().slice(before).sort(), ['cut.qcow2', 'moved.qed']);
  });
});
