/**
 * A mount gives the daemon's own folders a second name inside a root: what they are decides, not
 * how they are called.
 */
import assert from 'node:assert/strict';
import { chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsMounts } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const CONTENT = noise(1 << 20);
const NOBODY = 65_534;

describe('the daemon’s own folders under a second name', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  /** The file of the cache's only entry. */
  let entry = '';
  const at = (...names: string[]) => scratch.path('daemon', 'images', ...names);
  const options = () => ({ toml: `[cache]\npath = "${at('cache')}"\n` });
  const bind = async (from: string, to: string) => {
    await mkdir(to, { recursive: true });
    await sh('mount', '--bind', from, to);
    scratch.onEnd(() => sh('umount', '-l', to));
  };
  const write = (path: string, more = {}) =>
    daemon.stranger.send('FileService/WriteFile', [{ header: { path, ...more } }, { data: Buffer.from('mine') }]);
  const file = (rpc: string, request: Message) => daemon.stranger.unary(`FileService/${rpc}`, request);
  const image = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);

  before(async function () {
    needsMounts(this);
    await mkdir(at(), { recursive: true });
    daemon = await Daemon.start(scratch.path('daemon'), options());
    scratch.onEnd(() => daemon.stop());
    await writeFile(at('source.raw'), CONTENT);
    const server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    const source = { http: { url: server.add('image', CONTENT) } };
    await image('FetchImage', { source, target: at('made.raw'), use_cache: true });
    entry = (await readdir(at('cache'))).find((name) => /^[0-9a-f]{24}-/.test(name)) ?? '';
    assert.notEqual(entry, '');
    await bind(at('cache'), at('by-cache'));
    await bind(scratch.path('daemon', 'state'), at('by-state'));
    await bind(at(), at('mirror'));
    await bind(scratch.path('daemon'), at('deep', 'around'));
  });

  const everywhere = () => [
    [at('by-cache'), entry],
    [at('by-state'), 'agent-id'],
    [at('mirror', 'cache'), entry],
    [at('deep', 'around', 'state'), 'agent-id'],
    [at('deep', 'around', 'images', 'cache'), entry],
  ];
  /** Each call that reads, makes, changes or removes, in a folder. */
  const calls = (folder: string, name: string): [string, () => Promise<unknown>][] => [
    ['stat', () => file('StatFile', { path: `${folder}/${name}` })],
    ['read', () => daemon.stranger.all('FileService/ReadFile', { path: `${folder}/${name}` })],
    ['info', () => daemon.stranger.unary('ImageService/GetImageInfo', { path: `${folder}/${name}` })],
    ['make a file', () => write(`${folder}/mine`)],
    ['replace', () => write(`${folder}/${name}`)],
    ['write in place', () => write(`${folder}/${name}`, { offset: '0' })],
    ['touch', () => file('TouchFile', { path: `${folder}/${name}` })],
    ['remove', () => file('DeleteFile', { path: `${folder}/${name}` })],
    ['remove an image', () => image('DeleteImage', { path: `${folder}/${name}` })],
    ['create', () => image('CreateImage', { path: `${folder}/mine`, format: 'raw', size: '1K' })],
    ['wipe', () => image('WipeImage', { path: `${folder}/${name}`, mode: 'WIPE_MODE_ZERO' })],
    [
      'owner',
      () => daemon.stranger.operation('FileService/Chown', { path: `${folder}/${name}`, owner: String(NOBODY) }),
    ],
  ];
  const refuseAll = async () => {
    for (const [folder = '', name = ''] of everywhere())
      for (const [what, call] of calls(folder, name))
        assert.equal((await failure(call())).reason, 'PATH_OUTSIDE_ROOTS', `${what} in ${folder}`);
    assert.ok((await readFile(at('cache', entry))).equals(CONTENT));
  };

  it('are reached by none', () => refuseAll());

  it('keep their owners when a tree around them gets others', async () => {
    await chown(at('source.raw'), 0, 0);
    await daemon.stranger.operation('FileService/Chown', { path: at('deep'), owner: String(NOBODY), recursive: true });
    assert.equal((await stat(at('source.raw'))).uid, NOBODY);
    for (const path of [at('cache', entry), scratch.path('daemon', 'state', 'agent-id')])
      assert.equal((await stat(path)).uid, 0, path);
  });

  it('stay what they are by their own names and by links; other folders have as many names as they like', async () => {
    await symlink('cache', at('link'));
    for (const path of [at('cache', entry), at('link', entry)]) {
      await daemon.stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' });
      assert.equal((await failure(write(path))).reason, 'ROOT_READ_ONLY', path);
    }
    await image('CreateOverlay', { path: at('over'), backing_file: at('cache', entry), backing_format: 'raw' });
    await write(at('mirror', 'written'));
    assert.equal(await readFile(at('written'), 'utf8'), 'mine');
  });

  it('are reached by none when the mounts were there before the daemon', async () => {
    await daemon.stop();
    daemon = await Daemon.start(scratch.path('daemon'), options());
    await refuseAll();
  });
});
