/** Looks at places that do not answer hold a few threads of the pool, and no more. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { ZipArchive } from '../../src/adapters/archives/zip-archive.js';
import { LockQuery } from '../../src/adapters/gates/lock-query.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { RootedPaths } from '../../src/adapters/paths/paths.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import { QemuLocks } from '../../src/adapters/qemu/qemu-locks.js';
import { openRoots, type Root } from '../../src/adapters/paths/roots.js';
import { PathScope } from '../../src/domain/access/path-scope.js';
import { asAddress } from '../../src/domain/model/address.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import { HOSTLERD } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { FaultFilesystem, type Fault } from '../support/faults/fault-filesystem.js';
import { needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { until } from '../support/until.js';

/** More than the pool of these tests has threads, which is Node's own number. */
const CALLS = Array.from({ length: 6 }, (_, n) => n);
const PATIENCE_MS = 300;
const FIRST_BYTE = 100n;

describe('a place that does not answer', () => {
  const scratch = scratchFolder();
  let server: FaultFilesystem;
  let root: Root;
  let paths: RootedPaths;
  const run = () => ({ signal: AbortSignal.timeout(60_000), onChild: () => undefined });

  before(async function () {
    server = await FaultFilesystem.mount(this, scratch, scratch.path('server'));
    await mkdir(`${server.behind}/bin`);
    await writeFile(`${server.behind}/disk.raw`, noise(200_000));
    const zip = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").write(sys.argv[2], "disk.raw")';
    await sh('python3', '-c', zip, `${server.behind}/a.zip`, `${server.behind}/disk.raw`);
    const config = { path: server.path, access: 'read-write', trusted: true, attributes: {} } as const;
    const roots = await openRoots([config], PATIENCE_MS);
    root = roots[0] ?? assert.fail();
    scratch.onEnd(() => root.handle.close());
    paths = new RootedPaths(roots, { closed: [], own: [] }, new PathScope());
  });
  afterEach(() => server.heal());

  /** What the calls answer while it hangs; files of this host are read meanwhile. */
  const whileHangs = async (hangs: Fault, call: () => Promise<unknown>) => {
    await server.fail({ ...hangs, hang: true, times: 0 });
    const calls = CALLS.map(() => call().catch((error: unknown) => error));
    await until(async () => (await server.seen()).failed.length > 0);
    await readFile('/proc/self/stat');
    const answers = await Promise.all(calls);
    await readFile('/proc/self/stat');
    await server.heal();
    return answers;
  };
  const assertStalled = (answers: readonly unknown[]) => {
    const reasons = answers.map((error) => (error instanceof HostlerError ? error.reason : error));
    assert.deepEqual([...new Set(reasons)], ['ROOT_STALLED']);
  };

  it('an archive: its directory and its members', async () => {
    const file = await paths.source(asAddress(`${server.path}/a.zip`));
    try {
      const list = () => new ZipArchive().list(file, run());
      const [member] = await list();
      const read = async () => {
        const pieces: Uint8Array[] = [];
        const take = (piece: Uint8Array) => Promise.resolve(void pieces.push(piece));
        await new ZipArchive().read(file, member ?? assert.fail(), take, run());
        return Buffer.concat(pieces);
      };
      const whole = await readFile(`${server.behind}/disk.raw`);
      assert.ok((await read()).equals(whole));
      for (const call of [list, read]) assertStalled(await whileHangs({ kinds: ['read'], match: '/a.zip' }, call));
      await until(() =>
        read().then(
          () => true,
          () => false,
        ),
      );
      assert.ok((await read()).equals(whole));
    } finally {
      await file.handle.close();
    }
  });

  it('a name whose locks are asked for', async function () {
    const query = LockQuery.load();
    needs(this, query !== undefined, 'koffi has no build for this host');
    await writeFile(scratch.path('held'), '');
    const held = openSync(scratch.path('held'), 'r');
    try {
      // The table of all locks is empty otherwise, and nobody is looked at.
      assert.equal(query?.hold(held, FIRST_BYTE), true);
      const hangs: Fault = { kinds: ['getattr'], match: '/disk.raw' };
      const { directory: handle } = await paths.target(asAddress(`${server.path}/disk.raw`));
      scratch.onEnd(() => handle.close());
      assertStalled(await whileHangs(hangs, () => new QemuLocks().holds([{ handle, name: 'disk.raw' }])));
    } finally {
      closeSync(held);
    }
  });

  it('a folder of PATH: tools of other folders are found, and one that may lie there is not missing', async () => {
    const find = (tool: string) =>
      new ProcessRunner({
        killGraceMs: 1000,
        searchPath: `${server.path}/bin:/usr/bin`,
        folders: new MemoryFolders(scratch.path()),
        log: { child: () => undefined, abandoned: () => undefined },
      }).find(tool);
    const hangs: Fault = { kinds: ['getattr'], match: '/bin' };
    assert.deepEqual(new Set(await whileHangs(hangs, () => find('env'))), new Set(['/usr/bin/env']));
    assertStalled(await whileHangs(hangs, () => find('no-such-tool')));
    await assert.rejects(find('no-such-tool'), (error: HostlerError) => error.reason === 'TOOL_MISSING');
  });

  for (const [what, text] of [
    ['the root', (far: string) => `[[roots]]\npath = "${far}"`],
    ['the cache folder', (far: string) => `[cache]\npath = "${far}/cache"`],
    ['the audit log', (far: string) => `[audit]\nfile = "${far}/audit.log"`],
    ['command x', (far: string) => `[[commands]]\nname = "x"\nexecutable = "${far}/tool"\narguments = []`],
    ['the filesystem', (far: string) => `[tls]\ncert = "${far}/c.pem"\nkey = "${far}/k.pem"\nca = "${far}/c.pem"`],
  ] as const)
    it(`--check-config says that ${what} does not answer, and ends`, async () => {
      await mkdir(`${server.behind}/far`, { recursive: true });
      await mkdir(scratch.path('near'), { recursive: true });
      const config = scratch.path('check.toml');
      const roots = `[[roots]]\npath = "${scratch.path('near')}"\n`;
      const limits = `[limits]\nroot_patience_ms = ${String(PATIENCE_MS)}\n`;
      const own = `state_dir = "${scratch.path('state')}"\n[server]\nlisten = ["unix://${scratch.path('s')}"]\nhttp = ""\n`;
      await writeFile(config, `${own}${limits}${roots}${text(`${server.path}/far`)}\n`);
      await server.fail({ kinds: ['getattr'], match: '/far', hang: true, times: 0 });
      const child = spawn(HOSTLERD, ['--config', config, '--check-config'], { stdio: ['ignore', 'ignore', 'pipe'] });
      const ended = once(child, 'close');
      let errors = '';
      child.stderr.on('data', (piece: Buffer) => (errors += piece.toString()));
      await until(() => /does not answer.*\n/.test(errors));
      // The kernel lets no process go whose call a FUSE server has taken.
      await server.heal();
      assert.deepEqual(await ended, [1, null], errors);
      assert.match(errors, new RegExp(`${what}.* does not answer`));
      assert.doesNotMatch(errors, /near|state folder/);
    });
});
