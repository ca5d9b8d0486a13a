/** What the inventory knows of an image beside its header: who holds it, needs it and made it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../support/daemon.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('the facts of an inventory', () => {
  const scratch = scratchFolder();
  const folder = () => scratch.path('daemon');
  const socket = (role: string) => scratch.path('daemon', `${role}.sock`);
  const root = () => scratch.path('daemon/images');
  const at = (name: string) => join(root(), name);
  let daemon: Daemon;
  const others: Stranger[] = [];
  const start = () =>
    Daemon.start(folder(), {
      top: `instances_path = "${at('instances')}"\n`,
      toml: ['other', 'seer']
        .map((role) => `[[listeners]]\naddress = "unix://${socket(role)}"\nrole = "${role}"\n`)
        .concat(
          `[roles.other]\nservices = ["ImageService"]\nread = ["${root()}"]\n`,
          `[roles.seer]\nservices = ["ImageService"]\noperations = "see"\nread = ["${root()}"]\n`,
        )
        .join('\n'),
    });
  const list = async (filter: Message = {}, stranger = daemon.stranger): Promise<Map<string, Message>> => {
    const images: Message[] = [];
    for (let token = ''; ;) {
      const request = { path: root(), filter, page_size: 3, page_token: token };
      const page = await stranger.unary('ImageService/ListImages', request);
      images.push(...((page['images'] ?? []) as Message[]));
      token = (page['next_page_token'] ?? '') as string;
      if (token === '') return new Map(images.map((image) => [String(image['path']).slice(root().length + 1), image]));
    }
  };
  const names = async (filter: Message, stranger?: Stranger) => [...(await list(filter, stranger)).keys()].sort();
  const create = (name: string, ...words: readonly string[]) =>
    sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...words, at(name), ...(words.includes('-b') ? [] : ['1M']));
  const made = async (rpc: string, request: Message): Promise<string> => {
    const events = await daemon.stranger.all(`ImageService/${rpc}`, request);
    return events.at(-1)?.['operation_id'] as string;
  };

  before(async () => {
    for (const name of ['instances/_base', 'instances/one', 'other']) await mkdir(at(name), { recursive: true });
    await symlink('other', at('by-link'));
    await create('instances/_base/used');
    await create('instances/_base/unused');
    await create('instances/one/disk', '-F', 'qcow2', '-b', at('instances/_base/used'));
    await create('instances/one/top', '-F', 'qcow2', '-b', 'disk');
    await create('other/base');
    await create('other/relative', '-F', 'qcow2', '-b', 'base');
    await create('other/linked', '-F', 'qcow2', '-b', at('by-link/base'));
    await create('other/gone');
    await create('other/left', '-F', 'qcow2', '-b', at('other/gone'));
    await rm(at('other/gone'));
    daemon = await start();
    others.push(...['other', 'seer'].map((role) => new Stranger(`unix://${socket(role)}`)));
  });
  after(async () => {
    for (const other of others) other.close();
    await daemon.stop();
  });

  it('find what is backed by an image itself, by whatever name, and by one that has gone', async () => {
    assert.deepEqual(await names({ backed_by: at('instances/_base/used') }), ['instances/one/disk']);
    assert.deepEqual(await names({ backed_by: at('other/base') }), ['other/linked', 'other/relative']);
    assert.deepEqual(await names({ backed_by: at('by-link/base') }), ['other/linked', 'other/relative']);
    assert.deepEqual(await names({ backed_by: at('other/gone') }), ['other/left']);
    assert.deepEqual(await names({ backed_by: at('other/base'), formats: ['raw'] }), []);
    assert.deepEqual(await names({ backed_by: at('none') }), []);
    assert.equal((await failure(list({ backed_by: 'other/base' }))).reason, 'INVALID_FIELD');
    assert.equal((await failure(list({ backed_by: '/etc/passwd' }))).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('count what lies in other trusted roots, once', async () => {
    const second = scratch.path('second');
    const [outer, inner, drop] = [join(second, 'outer'), join(second, 'outer/inner'), join(second, 'drop')];
    for (const path of [inner, drop]) await mkdir(path, { recursive: true });
    const over = (path: string, base: string) =>
      sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path);
    await mkdir(join(second, 'images'), { recursive: true });
    const base = join(second, 'images/base');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '1M');
    await over(join(outer, 'one'), base);
    await over(join(inner, 'two'), base);
    await over(join(drop, 'untrusted'), base);
    await over(join(inner, 'three'), join(inner, 'two'));
    const toml = (path: string, more = '') => `[[roots]]\npath = "${path}"\n${more}\n`;
    const other = await Daemon.start(second, {
      roots: [toml(join(second, 'images')), toml(outer), toml(inner), toml(drop, 'trusted = false')].join(''),
    });
    try {
      const images = async (path: string) => {
        let page: Message = {};
        // On a busy machine a root may not answer in time; then the list says so.
        await until(async () => {
          page = await other.stranger.unary('ImageService/ListImages', { path });
          return ((page['unseen'] ?? []) as Message[]).length === 0;
        });
        return (page['images'] as Message[]).map((each) => [
          String(each['path']).slice(second.length + 1),
          each['dependants'] ?? 0,
          each['orphaned'] ?? false,
        ]);
      };
      assert.deepEqual(await images(join(second, 'images')), [['images/base', 2, false]]);
      const two = ['outer/inner/two', 1, false];
      assert.deepEqual((await images(inner)).at(-1), two);
      assert.deepEqual((await images(outer)).at(-1), two);
    } finally {
      await other.stop();
    }
  });

  it('name the process that holds an image, and no other that has it open', async () => {
    const isHolder = (pid: unknown, image: string) => {
      const words = readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
      assert.ok(words[0] === 'qemu-nbd' && words.includes(image), words.join(' '));
    };
    await whileHeld(at('other/base'), scratch.path('writer'), async () => {
      await until(async () => (await names({ in_use: true })).join() === 'other/base');
      const held = await list({ in_use: true });
      isHolder(held.get('other/base')?.['holder_pid'], at('other/base'));
      assert.ok(!(await names({ in_use: false })).includes('other/base'));
      // A reader, as a backup is, holds what it reads, and what that is backed by.
      const reading = ['-r', '-f', 'qcow2'];
      const work = async () => {
        await until(async () => (await names({ in_use: true })).length === 4);
        const all = await list({ in_use: true });
        assert.deepEqual([...all.keys()].sort(), [
          'instances/_base/used',
          'instances/one/disk',
          'instances/one/top',
          'other/base',
        ]);
        isHolder(all.get('instances/one/top')?.['holder_pid'], at('instances/one/top'));
      };
      await whileHeld(at('instances/one/top'), scratch.path('reader'), work, reading);
    });
    const file = await open(at('other/base'));
    try {
      await until(async () => (await names({ in_use: true })).length === 0);
    } finally {
      await file.close();
    }
  });

  it('call an image orphaned that nothing needs', async () => {
    assert.deepEqual(await names({ orphaned: true }), [
      'instances/_base/unused',
      'other/left',
      'other/linked',
      'other/relative',
    ]);
    assert.deepEqual(await names({ orphaned: false }), [
      'instances/_base/used',
      'instances/one/disk',
      'instances/one/top',
      'other/base',
    ]);
  });

  it('name the operation that made a file, and its labels, to those who may see it', async () => {
    const label = { project: 'blue', instance: '7' };
    const first = await made('CreateImage', { path: at('made'), format: 'qcow2', size: '1M', labels: label });
    const overlay = {
      path: at('made-over'),
      backing_file: at('made'),
      backing_format: 'qcow2',
      labels: { project: 'red' },
    };
    const second = await made('CreateOverlay', overlay);
    const copy = await made('CopyImage', { source: at('made'), target: at('made-copy'), labels: { project: 'blue' } });
    const bare = await made('CreateImage', { path: at('made-raw'), format: 'raw', size: '1M' });
    await copyFile(at('made'), at('made-outside'));
    const check = async () => {
      const images = await list();
      const facts = (name: string) => [images.get(name)?.['operation_id'] ?? '', images.get(name)?.['labels'] ?? {}];
      assert.deepEqual(facts('made'), [first, label]);
      assert.deepEqual(facts('made-over'), [second, { project: 'red' }]);
      assert.deepEqual(facts('made-copy'), [copy, { project: 'blue' }]);
      assert.deepEqual(facts('made-raw'), [bare, {}]);
      assert.deepEqual(facts('made-outside'), ['', {}]);
      assert.deepEqual(await names({ labels: { project: 'blue' } }), ['made', 'made-copy']);
      assert.deepEqual(await names({ labels: label }), ['made']);
      assert.deepEqual(await names({ labels: { project: 'none' } }), []);
      assert.deepEqual(await names({ operation_id: second }), ['made-over']);
      assert.deepEqual(await names({ operation_id: 'none' }), []);
    };
    await check();
    // Another caller sees the image, and of the operation only as much as ListOperations shows.
    const [other, seer] = others;
    assert.equal((await list({}, other)).get('made')?.['operation_id'] ?? '', '');
    assert.deepEqual(await names({ labels: { project: 'blue' } }, other), []);
    assert.deepEqual(await names({ labels: { project: 'blue' } }, seer), ['made', 'made-copy']);
    await daemon.stop();
    daemon = await start();
    await check();
  });

  it('forget the operation when another file takes the name, and follow a file to another name', async () => {
    const id = await made('CreateImage', { path: at('renamed'), format: 'qcow2', size: '1M' });
    await rename(at('renamed'), at('elsewhere'));
    await create('renamed');
    const images = await list();
    assert.equal(images.get('elsewhere')?.['operation_id'], id);
    assert.equal(images.get('renamed')?.['operation_id'] ?? '', '');
    const again = { path: at('elsewhere'), format: 'qcow2', size: '2M', overwrite: true };
    const latest = await made('CreateImage', again);
    assert.deepEqual(await names({ operation_id: latest }), ['elsewhere']);
    assert.deepEqual(await names({ operation_id: id }), []);
    // What gets the number of an inode that was free again is another file.
    await rm(at('elsewhere'));
    for (let n = 0; n < 20; n++) await writeFile(at(`later-${String(n)}`), 'x');
    const later = [...(await list())].filter(([name]) => name.startsWith('later-'));
    assert.equal(later.length, 20);
    for (const [name, image] of later) assert.equal(image['operation_id'] ?? '', '', name);
  });

  it('come with changes, too', async () => {
    const seen: Message[] = [];
    const stream = daemon.stranger.stream('ImageService/WatchImages', { path: at('other') });
    stream.on('error', () => undefined); // it is cancelled below
    stream.on('data', ({ changes = [] }: Message) => seen.push(...(changes as Message[])));
    try {
      await new Promise((resolve) => stream.once('data', resolve));
      const id = await made('CreateImage', { path: at('other/new'), format: 'qcow2', size: '1M', labels: { a: 'b' } });
      await until(() => Promise.resolve(seen.length > 0));
      const image = seen[0]?.['image'] as Message;
      assert.deepEqual([image['path'], image['operation_id'], image['labels']], [at('other/new'), id, { a: 'b' }]);
    } finally {
      stream.cancel();
    }
  });
});
