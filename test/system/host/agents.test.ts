/**
 * Whose private folders are whose: nobody touches those of a daemon that lives, and those of one
 * that is gone have a name and a way out.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { encode, sumOf } from '../../../src/adapters/journal/rows.js';
import { Daemon, HOSTLERD } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsMounts } from '../../support/needs.js';
import { namesBelow } from '../../support/files/names-below.js';
import { record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { until } from '../../support/until.js';

const UP_BYTES = 65536;

describe('agents that share a root', () => {
  const scratch = scratchFolder();
  const root = () => scratch.path('root');
  const running: Daemon[] = [];
  const start = async (name: string, more: { failpoints?: string[]; root?: string; http?: string } = {}) => {
    const failpoints = JSON.stringify(more.failpoints ?? []);
    const daemon = await Daemon.start(scratch.path(name), {
      roots: `[[roots]]\npath = "${more.root ?? root()}"\n`,
      toml: `[debug]\nfailpoints = ${failpoints}\n`,
      ...(more.http === undefined ? {} : { http: more.http }),
    });
    running.push(daemon);
    return daemon;
  };
  const placeIn = (name: string) => JSON.parse(readFileSync(scratch.path(name, 'state/place'), 'utf8')) as object;
  const idIn = (name: string) => readFileSync(scratch.path(name, 'state/agent-id'), 'utf8').trim();
  const folders = async () => (await namesBelow(root())).filter((name) => /\.hostler-[^/]*$/.test(name));
  const upload = (daemon: Daemon, name: string) =>
    daemon.stranger.unary('ImageService/StartUpload', {
      target: `${root()}/${name}`,
      format: 'raw',
      length_bytes: String(UP_BYTES),
    });
  const killed = async (daemon: Daemon) => {
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    daemon.stranger.close();
  };
  const hostlerd = (name: string, ...words: string[]) =>
    sh(HOSTLERD, '--config', scratch.path(name, 'hostler.toml'), ...words);
  /** A conversion that waits in the middle. */
  const paused = async (name: string) => {
    const daemon = await start(name, { failpoints: ['ConvertImage:seal:pause'] });
    await writeFile(`${root()}/source.raw`, noise(1 << 20));
    const request = { source: `${root()}/source.raw`, source_format: 'raw', target: `${root()}/made.qcow2` };
    const ended = daemon.stranger.operation('ImageService/ConvertImage', { ...request, target_format: 'qcow2' });
    ended.catch(() => undefined);
    await until(async () => (await folders()).length > 0);
    return { daemon, ended };
  };
  const assertGoesOn = async ({ daemon, ended }: Awaited<ReturnType<typeof paused>>) => {
    daemon.process.kill('SIGUSR2');
    await ended;
    assert.ok(existsSync(`${root()}/made.qcow2`));
  };

  beforeEach(() => mkdir(root(), { recursive: true }));
  afterEach(async () => {
    for (const daemon of running.splice(0)) if (daemon.process.exitCode === null) await killed(daemon);
    for (const name of await readdir(scratch.path())) await rm(scratch.path(name), { recursive: true });
  });

  it('a copied state folder gets an id of its own, and the work of the first daemon goes on', async () => {
    const first = await paused('a');
    await cp(scratch.path('a/state'), scratch.path('b/state'), { recursive: true });
    const second = await start('b', { http: '127.0.0.1:0' });
    assert.notEqual(idIn('b'), idIn('a'));
    const line = second.records().find(({ message }) => String(message).startsWith('this daemon has a new agent id'));
    assert.equal(line?.['former'], idIn('a'));
    assert.match(String(line['why']), /is a copy of .*\/a\/state/);
    await second.logged(/private folders of other agents/);
    assert.match(await second.metrics(), /hostler_foreign_folders 1\n/);
    await assertGoesOn(first);
    // It stays the second's own.
    const id = idIn('b');
    await second.stop();
    const again = await start('b');
    assert.equal(idIn('b'), id);
    assert.doesNotMatch(again.log, /a new agent id/);
  });

  it('so does one of another machine, and one whose twin lives under another name of the root', async () => {
    await (await start('a')).stop();
    const place = JSON.parse(readFileSync(scratch.path('a/state/place'), 'utf8')) as { machine: string };
    await writeFile(scratch.path('a/state/place'), JSON.stringify({ ...place, machine: '0123456789abcdef' }));
    const before = idIn('a');
    const moved = await start('a');
    assert.match(moved.log, /was made on another machine/);
    assert.notEqual(idIn('a'), before);
    // The file is written once more when the folders of the former id are noted.
    await until(() => !('former' in placeIn('a')));
    await cp(scratch.path('a/state'), scratch.path('c/state'), { recursive: true });
    // Nothing in the copy says where it comes from: only the lock of the one that lives does.
    await rm(scratch.path('c/state/place'));
    const twin = await start('c');
    assert.match(twin.log, /another daemon that lives has the same agent id/);
    assert.notEqual(idIn('c'), idIn('a'));
  });

  it('a copy whose first start did not come to its end is a copy at the next one, too', async () => {
    const first = await paused('a');
    await cp(scratch.path('a/state'), scratch.path('b/state'), { recursive: true });
    // As if it had ended between the two writes.
    const place = JSON.parse(readFileSync(scratch.path('b/state/place'), 'utf8')) as object;
    const half = { ...place, folder: scratch.path('b/state'), former: { agentId: idIn('a'), why: 'copied' } };
    await writeFile(scratch.path('b/state/place'), JSON.stringify(half));
    const second = await start('b');
    assert.match(second.log, /this daemon has a new agent id/);
    assert.notEqual(idIn('b'), idIn('a'));
    await until(() => !('former' in placeIn('b')));
    await assertGoesOn(first);
  });

  it('a state folder that was moved keeps its id, and goes on with what it kept', async () => {
    const first = await start('a');
    const { upload_id: id } = await upload(first, 'up');
    await first.stop();
    const before = idIn('a');
    await mkdir(scratch.path('b'));
    await rename(scratch.path('a/state'), scratch.path('b/state'));
    const second = await start('b');
    assert.equal(idIn('b'), before);
    const found = await second.stranger.unary('OperationService/ListOperations', { kept_only: true });
    assert.ok(JSON.stringify(found).includes(String(id)) || (await folders()).length === 1);
    assert.equal((await folders()).length, 1);
  });

  it('folders of an agent that is gone are named, and go when they are asked for, not before', async () => {
    const first = await start('a');
    await mkdir(`${root()}/deep/er`, { recursive: true });
    for (const name of ['up', 'deep/er/up']) await upload(first, name);
    const lost = idIn('a');
    await assert.rejects(
      hostlerd('a', '--remove-folders-of', lost),
      new RegExp(`the agent ${lost} lives: nothing is removed`),
    );
    assert.match(
      await hostlerd('a', '--list-folders'),
      new RegExp(`^agent ${lost}  2 folders  \\d+ bytes  since .*  lives\n$`),
    );
    await killed(first);
    await rm(scratch.path('a/state'), { recursive: true });
    const second = await start('a');
    await second.logged(/"count":2,.*private folders of other agents/);
    assert.equal((await folders()).length, 2);
    await upload(second, 'mine');
    assert.match(await hostlerd('a', '--remove-folders-of', lost), /^(removed .*\n)+$/);
    assert.deepEqual(
      (await folders()).map((name) => name.includes(idIn('a'))),
      [true],
    );
  });

  it('an agent whose root lies in ours, or around it, lives for us too', async () => {
    await mkdir(`${root()}/inner`);
    for (const [name, own, other] of [
      ['a', `${root()}/inner`, root()],
      ['b', root(), `${root()}/inner`],
    ] as const) {
      const first = await start(name, { root: own });
      await first.stranger.unary('ImageService/StartUpload', {
        target: `${root()}/inner/up-${name}`,
        format: 'raw',
        length_bytes: '512',
      });
      await start(`${name}2`, { root: other });
      const asked = hostlerd(`${name}2`, '--remove-folders-of', idIn(name));
      await assert.rejects(asked, /lives: nothing is removed/);
      await killed(first);
      await hostlerd(`${name}2`, '--remove-folders-of', idIn(name));
    }
    assert.deepEqual(await folders(), []);
  });

  it('after the journal was moved aside no folder goes by itself, at this start and the next', async () => {
    const first = await start('a');
    await upload(first, 'up');
    await killed(first);
    const [own] = await folders();
    // All but the first page's header.
    const journal = scratch.path('a/state/journal.sqlite');
    for (const end of ['-wal', '-shm']) await rm(`${journal}${end}`, { force: true });
    const bytes = await readFile(journal);
    await writeFile(journal, bytes.fill(0xff, 100));
    for (let lives = 0; lives < 2; lives++) {
      const daemon = await start('a');
      await daemon.logged(/private folders of operations that the lost journal may have known are left/);
      assert.deepEqual(await folders(), [own]);
      await daemon.stop();
    }
    await hostlerd('a', '--remove-folders-of', idIn('a'));
    assert.deepEqual(await folders(), []);
    assert.equal(await (await start('a')).stop(), 0);
  });

  for (const [what, change] of [
    ['whose state only a newer version knows', { state: 'PAUSED' }],
    ['whose state is no text', { state: 7 }],
    ['that was being published in a way that only a newer version knows', { state: 'RUNNING', commit: { way: 'new' } }],
    ['whose record this version cannot read', { state: 'RUNNING', createTime: 'yesterday' }],
  ] as const)
    it(`what an operation works in stays, ${what}, at this start and the next`, async () => {
      await (await start('a')).stop();
      const [kept, swept] = [1, 2].map((digit) => `.hostler-${idIn('a')}-01M8GHPN8KSXVFMTNXH8TYSG3${String(digit)}`);
      const places = [root(), scratch.path('a/state/cache')];
      for (const place of places)
        for (const name of [kept, swept]) await mkdir(`${place}/${String(name)}`, { recursive: true });
      const key = '01M8GHPN8KSXVFMTNXH8TYSG31';
      const body = encode({ ...record(1), id: key, ...change });
      const journal = new DatabaseSync(scratch.path('a/state/journal.sqlite'));
      journal
        .prepare('INSERT INTO operations(id, body, sum) VALUES (?, ?, ?)')
        .run(key, body, sumOf('operation', { key, body }));
      journal.close();
      for (let lives = 0; lives < 2; lives++) {
        const daemon = await start('a');
        if (lives === 0) await daemon.logged(/"swept"|are left: hostlerd/);
        for (const place of places) assert.ok(existsSync(`${place}/${String(kept)}`), place);
        assert.equal(await daemon.stop(), 0);
      }
    });

  for (const [what, text] of [
    ['torn', '["01M8GHPN8KSXVFMTNXH8TYSG31"'],
    ['empty', ''],
    ['no list', '{"a":1}'],
  ])
    it(`a list of folders to leave alone that is ${String(what)} makes none of them go by itself`, async () => {
      await (await start('a')).stop();
      const folder = `${root()}/.hostler-${idIn('a')}-01M8GHPN8KSXVFMTNXH8TYSG31`;
      await mkdir(folder);
      await writeFile(scratch.path('a/state/left-folders'), String(text));
      const asked = hostlerd('a', '--remove-folders-of', idIn('a'));
      await assert.rejects(asked, /hostlerd: .*\/left-folders cannot be read: nothing is removed/);
      const daemon = await start('a');
      await daemon.logged(/are left: hostlerd --list-folders/);
      const left = JSON.parse(await readFile(scratch.path('a/state/left-folders'), 'utf8')) as string[];
      assert.deepEqual(left, ['01M8GHPN8KSXVFMTNXH8TYSG31'], 'what is told is done');
      await daemon.stop();
      assert.ok(existsSync(folder));
      await hostlerd('a', '--remove-folders-of', idIn('a'));
      assert.deepEqual(await folders(), []);
    });

  it('what is no agent id is called so', async () => {
    await (await start('a')).stop();
    for (const id of ['zz', '', '../..', idIn('a').toUpperCase().replace(/^./, 'A')])
      await assert.rejects(hostlerd('a', `--remove-folders-of=${id}`), /hostlerd: .*is no agent id/);
  });

  it('what cannot be swept stops nothing else', async function () {
    needsMounts(this);
    await (await start('a')).stop();
    const name = (digit: string) => `${root()}/x${digit}/.hostler-${idIn('a')}-01M8GHPN8KSXVFMTNXH8TYSG3${digit}`;
    for (const digit of ['A', 'B', 'C']) await mkdir(`${name(digit)}/sub`, { recursive: true });
    // A tree with another filesystem in it stays.
    await sh('mount', '-t', 'tmpfs', 'tmpfs', `${name('A')}/sub`);
    try {
      const daemon = await start('a');
      await daemon.logged(/"swept"/);
      assert.deepEqual(
        ['A', 'B', 'C'].map((digit) => existsSync(name(digit))),
        [true, false, false],
      );
      assert.match(daemon.log, /a place cannot be swept now.*3A/);
    } finally {
      await sh('umount', `${name('A')}/sub`);
    }
  });
});
