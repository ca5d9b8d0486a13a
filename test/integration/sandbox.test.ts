/**
 * What a real tool can reach from inside the sandbox, with the images of an attacker and no policy
 * before it.
 */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, open, readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { closeSync, constants } from 'node:fs';
import { loadKoffi } from '../../src/adapters/linux/koffi.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import { Sandbox } from '../../src/adapters/process/sandbox.js';
import type { Arg, ToolLimits } from '../../src/adapters/process/tool-call.js';
import { isRoot, needs } from '../support/needs.js';
import { gone } from '../support/processes.js';
import { needsSandbox } from '../support/sandbox.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const O_PATH = 0o10000000;
const SEARCH = '/usr/sbin:/usr/bin:/sbin:/bin';

describe('the sandbox', () => {
  const scratch = scratchFolder();
  const options = {
    killGraceMs: 200,
    searchPath: SEARCH,
    folders: new MemoryFolders('hostler-test'),
    log: { child: () => undefined, abandoned: () => undefined },
  };
  const inside = new ProcessRunner({ ...options, sandbox: new Sandbox(isRoot, SEARCH, 'hostler-test') });
  const outside = new ProcessRunner(options);
  /** What the list of processes is searched for. */
  const unique = `4343.${String(process.pid)}`;
  let lastPid = 0;
  const run = (signal = new AbortController().signal) => ({
    signal,
    onChild: (child: { pid: number } | undefined) => (lastPid = child?.pid ?? lastPid),
  });
  const call = (tool: string, args: Arg[] = [], limits: ToolLimits = {}) => ({ tool, args, limits });
  const handle = async (path: string, flags = 0) => {
    const file = await open(path, O_PATH | flags);
    scratch.onEnd(() => file.close());
    return { fd: file.fd, close: () => file.close() };
  };
  const folder = (path: string) => handle(path, constants.O_DIRECTORY);

  before(needsSandbox);
  before(async () => {
    await mkdir(scratch.path('private'));
    await mkdir(scratch.path('others'));
    await writeFile(scratch.path('others', 'secret.raw'), Buffer.alloc(65536, 'secret of another tenant'));
  });

  it('a tool sees its two paths, the system, and nothing else', async () => {
    await writeFile(scratch.path('source'), 'the source');
    const source = await handle(scratch.path('source'));
    const target = { handle: await folder(scratch.path('private')), name: 'part' };
    const script = 'cat "$1"; ls /; ls /l /w /proc /etc /dev 2>&1; echo made > "$2"; echo x > "$1"';
    const { stdout, stderr } = await inside.run(
      call('sh', ['-c', script, 'sh', [{ read: { handle: source } }], [{ write: target }]]),
      run(),
    );
    assert.match(stdout, /^the source/);
    assert.match(stdout, /cannot access '\/proc'/);
    assert.deepEqual(
      /^the source((?:.|\n)*?)\nls:/
        .exec(stdout)?.[1]
        ?.split('\n')
        .filter((name) => !['bin', 'lib', 'lib64', 'sbin'].includes(name)),
      ['dev', 'etc', 'l', 'usr', 'w'],
    );
    assert.match(stdout, /^\/dev:\nnull\n$/m);
    assert.match(stderr, /Read-only file system/);
    assert.equal(await readFile(scratch.path('source'), 'utf8'), 'the source');
    assert.equal(await readFile(scratch.path('private', 'part'), 'utf8'), 'made\n');
  });

  const convert = async (runner: ProcessRunner, image: string) => {
    const read = { handle: await handle(image) };
    const write = { handle: await folder(scratch.path('private')), name: 'stolen' };
    return runner.run(call('qemu-img', ['convert', '-O', 'raw', [{ read }], [{ write }]]), run());
  };

  it('an image that names another file as its base cannot have it read', async () => {
    const evil = scratch.path('evil.qcow2');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', scratch.path('others', 'secret.raw'), evil);
    assert.equal((await convert(outside, evil)).code, 0);
    assert.match(await readFile(scratch.path('private', 'stolen'), 'utf8'), /secret of another tenant/);
    const { code, stderr } = await convert(inside, evil);
    assert.equal(code, 1);
    assert.match(stderr, /No such file or directory/);
  });

  it('an image that names a server as its base cannot have it called', async () => {
    let calls = 0;
    const server = createServer((socket) => {
      calls += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    scratch.onEnd(() => new Promise((resolve) => server.close(resolve)));
    const evil = scratch.path('caller.qcow2');
    const base = `nbd://127.0.0.1:${String((server.address() as AddressInfo).port)}/x`;
    await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'raw', '-b', base, evil, '1M');
    assert.equal((await convert(outside, evil)).code, 1);
    assert.equal(calls, 1, 'without the sandbox it calls');
    assert.equal((await convert(inside, evil)).code, 1);
    assert.equal(calls, 1);
  });

  it("reads another owner's 0600 image below a 0700 folder, as root", async function () {
    needs(this, isRoot, 'needs root to give files away');
    await mkdir(scratch.path('closed'));
    const image = scratch.path('closed', 'image.raw');
    await writeFile(image, Buffer.alloc(65536, 'x'));
    await chmod(image, 0o600);
    await chown(image, 12345, 12345);
    await chmod(scratch.path('closed'), 0o700);
    await chown(scratch.path('closed'), 12345, 12345);
    assert.equal((await convert(inside, image)).code, 0);
  });

  it('a secret is a file inside, and no descriptor of ours is left open', async () => {
    const secret = new TextEncoder().encode('hunter2');
    const { stdout } = await inside.run(call('cat', [[{ secret }]]), run());
    assert.equal(stdout, 'hunter2');
    const source = await handle(scratch.path('private'));
    // Without O_CLOEXEC, as a library may.
    const opened: unknown = loadKoffi()?.load(null).func('open', 'int', ['str', 'int'])(scratch.path('private'), 0);
    // Where the kernel cannot be asked, what a child would inherit unasked is covered by /dev/null.
    const count =
      'import os\nfor n in range(3, 64):\n  try:\n    if os.fstat(n).st_rdev != os.makedev(1, 3): print(n, os.fstat(n))\n  except OSError: pass';
    const { stdout: open } = await inside.run(call('python3', ['-c', count, [{ read: { handle: source } }]]), run());
    assert.equal(open, '');
    if (typeof opened === 'number') closeSync(opened);
  });

  it('limits and cancel reach the tool inside', async () => {
    const busy = call('sh', ['-c', 'while :; do :; done'], { cpuSeconds: 1 });
    await assert.rejects(inside.run(busy, run()), { reason: 'TOOL_LIMIT_EXCEEDED' });
    const killed = await inside.run(call('sh', ['-c', 'kill -9 $$']), run());
    assert.deepEqual([killed.code, killed.signal], [undefined, 'SIGKILL']);
    // As glib ends a tool that gets no more memory.
    const aborts = call('sh', ['-c', 'kill -ABRT $$'], { addressSpaceBytes: 1n << 30n });
    await assert.rejects(inside.run(aborts, run()), { reason: 'TOOL_LIMIT_EXCEEDED' });
    const abort = new AbortController();
    const sleeping = inside.lines(
      call('sh', ['-c', `trap "" TERM; echo ready; sleep ${unique}`]),
      run(abort.signal),
      () => abort.abort(new Error('enough')),
    );
    await assert.rejects(sleeping);
    await gone(lastPid);
    assert.ok(!(await sh('ps', '-eo', 'args')).includes('sleep ${unique}'));
  });

  it('a cancel at any moment of the start leaves nothing running', async () => {
    const earlier = await readdir(scratch.path('private'));
    for (let ms = 0; ms < 20; ms += 0.5) {
      const abort = new AbortController();
      const sleeping = inside.run(call('sleep', [unique]), run(abort.signal));
      const timer = setTimeout(() => abort.abort(new Error('enough')), ms);
      await assert.rejects(sleeping);
      clearTimeout(timer);
      assert.ok(!(await sh('ps', '-eo', 'args')).includes(`sleep ${unique}`), `cancelled after ${String(ms)} ms`);
    }
    assert.deepEqual(await readdir(scratch.path('private')), earlier);
  });
});
