/**
 * A cache's folder is one daemon's own: nobody's files in it are removed, and nobody else's folder
 * becomes it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { serveStock } from '../../support/faults/fault-cases.js';
import { namesBelow } from '../../support/files/names-below.js';
import { guestContent } from '../../support/images/chains.js';
import { noise } from '../../support/images/disks.js';
import { isRoot, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure } from '../../support/stranger.js';

describe("the cache's folder", () => {
  const scratch = scratchFolder();
  let next = 0;
  const folder = () => scratch.path(`d${String(next++)}`);
  const withCache = (path: string, more: DaemonOptions = {}): DaemonOptions => ({
    ...more,
    toml: `[cache]\npath = "${path}"\n`,
  });

  async function refusals(place: string, options: DaemonOptions): Promise<string[]> {
    const daemon = await Daemon.spawn(place, options);
    assert.equal(await daemon.exited, 1, daemon.log);
    daemon.stranger.close();
    return daemon.log.trim().split('\n');
  }

  async function refusal(place: string, options: DaemonOptions): Promise<string> {
    const lines = await refusals(place, options);
    assert.equal(lines.length, 1, lines.join('\n'));
    return lines[0] ?? '';
  }

  const refused: [string, (place: string) => string, RegExp][] = [
    ['a root', (place) => `${place}/images`, /is the root itself/],
    ['a root, by a link', (place) => linked(`${place}/images`), /is the root itself/],
    ['a folder that holds a root', (place) => place, /holds the (root|state folder)/],
    ['the state folder', (place) => made(`${place}/state`), /is the state folder itself/],
    ['the folder of the instances', (place) => made(`${place}/images/vms`), /is instances_path itself/],
    ['one of the folders that the daemon keeps', (place) => made(`${place}/state/aside`, 'x'), /such as x/],
    ['a folder with images of others', (place) => made(`${place}/images/_base`, 'disk.qcow2'), /such as disk\.qcow2/],
    ['a folder with a folder in it', (place) => made(`${place}/images/c/sub`).replace(/\/sub$/, ''), /such as sub/],
    ['a file', (place) => made(`${place}/images/x`, 'file').concat('/file'), /cannot be used: .*\((EEXIST|ENOTDIR)\)/],
  ];
  for (const [what, cache, why] of refused)
    it(`is not ${what}, and nothing there is changed`, async () => {
      const place = folder();
      mkdirSync(`${place}/images`, { recursive: true });
      const path = cache(place);
      const look = async () => (await namesBelow(place)).filter((name) => !/^state|toml$/.test(name));
      const before = await look();
      const line = await refusal(place, withCache(path, { top: `instances_path = "${place}/images/vms"\n` }));
      assert.match(line, /^hostlerd: (?:cache\.path: |the cache folder \(cache\.path\) )/);
      assert.match(line, why);
      assert.deepEqual(await look(), before);
    });

  it('is one that is empty, or the root of a filesystem, or what a version without owner files left', async () => {
    const id = `${'0123456789ab'.repeat(2)}-01m8gxaczz527q6yk140v58f4x`;
    for (const names of [[], ['lost+found/'], [id, '.hostler-0123456789ab-01M8GXACZZ527Q6YK140V58F4X/']]) {
      const place = folder();
      for (const name of names)
        if (name.endsWith('/')) mkdirSync(`${place}/images/cache/${name}`, { recursive: true });
        else made(`${place}/images/cache`, name);
      const daemon = await Daemon.start(place, withCache(`${place}/images/cache`));
      assert.equal(await daemon.stop(), 0);
      const left = await readdir(`${place}/images/cache`);
      assert.deepEqual(left.sort(), ['.owner', ...names.map((name) => name.replace('/', ''))].sort());
    }
  });

  it('is one daemon’s, also by a link, and stays its own when it has ended', async () => {
    const [one, two] = [folder(), folder()];
    const cache = `${one}/images/cache`;
    const first = await Daemon.start(one, withCache(cache));
    const other = withCache(`${linked(`${one}/images`)}/cache`);
    const agent = String(first.records().find(({ message }) => message === 'SERVING')?.['agent']);
    const busy = await refusal(two, other);
    assert.match(busy, new RegExp(`is in use by the agent ${agent} of the host \\S+ \\(state folder ${one}/state\\)`));
    await first.stop();
    assert.match(await refusal(two, other), new RegExp(`belongs to the agent ${agent} .*if that one is gone for good`));
    const again = await Daemon.start(one, withCache(cache));
    await again.stop();
    // What the message advises.
    await rm(`${cache}/.owner`);
    const second = await Daemon.start(two, other);
    await second.stop();
  });

  it('stays usable when the state folder was lost, and when a crash left an empty owner file', async () => {
    const place = folder();
    const cache = `${place}/images/cache`;
    const options = withCache(cache);
    await (await Daemon.start(place, options)).stop();
    await rm(`${place}/state`, { recursive: true });
    await (await Daemon.start(place, options)).stop();
    await writeFile(`${cache}/.owner`, '');
    await (await Daemon.start(place, options)).stop();
    await rename(`${place}/state`, `${place}/elsewhere`);
    await mkdir(`${place}/state`);
    await (await Daemon.start(place, options)).stop();
  });

  it('goes with a copy of the state folder when the daemon of the first one has ended, not before', async () => {
    const [one, two] = [folder(), folder()];
    const options = withCache(`${one}/images/cache`);
    const first = await Daemon.start(one, options);
    await cp(`${one}/state`, `${two}/state`, { recursive: true });
    assert.match((await refusals(two, options)).at(-1) ?? '', /is in use by the agent/);
    await first.stop();
    await (await Daemon.start(two, options)).stop();
    // Now it is the second one's.
    assert.match(await refusal(one, options), /belongs to the agent/);
  });

  it('reached by another name than its root is as closed to callers as by the root’s', async () => {
    const place = folder();
    mkdirSync(`${place}/images`, { recursive: true });
    symlinkSync(`${place}/images`, `${place}/alias`);
    const daemon = await Daemon.start(place, withCache(`${place}/alias/cache`));
    const path = `${place}/images/cache/mine`;
    const { stranger } = daemon;
    const made_ = await failure(stranger.operation('ImageService/CreateImage', { path, format: 'raw', size: '1M' }));
    assert.equal(made_.reason, 'ROOT_READ_ONLY');
    const written = await failure(stranger.send('FileService/WriteFile', [{ header: { path } }, { data: 'eA==' }]));
    assert.equal(written.reason, 'ROOT_READ_ONLY');
    await daemon.stop();
  });

  it('in an untrusted root is reached by no address', async () => {
    const place = folder();
    const roots = `[[roots]]\npath = "${place}/images"\ntrusted = false\n`;
    const daemon = await Daemon.start(place, withCache(`${place}/images/cache`, { roots }));
    const path = `${place}/images/cache/mine`;
    const error = await failure(
      daemon.stranger.operation('ImageService/CreateImage', { path, format: 'raw', size: '1M' }),
    );
    assert.equal(error.reason, 'PATH_OUTSIDE_ROOTS');
    await daemon.stop();
  });

  describe('that is moved while the daemon runs', () => {
    let source: { readonly url: string; readonly server: Server };
    before(needsSandbox);
    before(async () => {
      await mkdir(scratch.path('stock'));
      await writeFile(scratch.path('stock', 'disk.raw'), noise(1 << 20));
      source = await serveStock(scratch.path('stock'));
    });
    after(() => source.server.close());

    const MOVES: readonly (readonly [
      string,
      (cache: string) => Promise<unknown>,
      (cache: string) => Promise<unknown>,
    ])[] = [
      ['is renamed', (cache) => rename(cache, `${cache}-away`), (cache) => rename(`${cache}-away`, cache)],
      [
        'has an empty one in its place',
        (cache) => rename(cache, `${cache}-away`).then(() => mkdir(cache)),
        (cache) => rmdir(cache).then(() => rename(`${cache}-away`, cache)),
      ],
      [
        'has a link to it in its place that leads elsewhere',
        (cache) => rename(cache, `${cache}-away`).then(() => symlink(scratch.path('stock'), cache)),
        (cache) => rm(cache).then(() => rename(`${cache}-away`, cache)),
      ],
      [
        'lies below another filesystem',
        (cache) => sh('mount', '-t', 'tmpfs', 'none', cache),
        (cache) => sh('umount', cache),
      ],
    ];
    for (const [what, away, back] of MOVES)
      it(`${what}: no image is backed by what is not there; all is as before when it is back`, async function () {
        needs(this, isRoot || !what.includes('filesystem'), 'mounts a filesystem');
        const place = folder();
        const cache = `${place}/images/cache`;
        const daemon = await Daemon.start(place, withCache(cache));
        const fetch = (name: string) =>
          daemon.stranger.operation('ImageService/FetchImage', {
            source: { http: { url: `${source.url}/disk.raw` } },
            ...{ source_format: 'raw', target: daemon.image(name), target_format: 'qcow2' },
            ...{ overlay: true, use_cache: true },
          });
        await fetch('before');
        await away(cache);
        const { stranger } = daemon;
        const prefetch = { source: { http: { url: `${source.url}/disk.raw` } }, source_format: 'raw' };
        for (const call of [
          () => fetch('meanwhile'),
          () => stranger.unary('ImageService/ListCachedImages'),
          () => stranger.operation('ImageService/PrefetchImage', prefetch),
        ]) {
          const { reason, message } = await failure(call());
          assert.equal(reason, 'ROOT_UNAVAILABLE', message);
        }
        assert.deepEqual(
          (await readdir(`${place}/images`)).filter((name) => !name.startsWith('cache')),
          ['before'],
        );
        await back(cache);
        await fetch('after');
        for (const name of ['before', 'after'])
          assert.deepEqual(await guestContent(daemon.image(name)), noise(1 << 20));
        assert.equal(await daemon.stop(), 0);
      });
  });

  function linked(path: string): string {
    const link = scratch.path(`link${String(next++)}`);
    symlinkSync(path, link);
    return link;
  }
});

function made(path: string, file?: string): string {
  mkdirSync(path, { recursive: true });
  if (file !== undefined) writeFileSync(`${path}/${file}`, 'precious');
  return path;
}
