/** What every way to start a child does, with real programs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { errnoOf } from '../../src/adapters/linux/errno.js';
import { loadKoffi } from '../../src/adapters/linux/koffi.js';
import { nodeStart } from '../../src/adapters/process/start/node-start.js';
import { posixStart } from '../../src/adapters/process/start/posix-start.js';
import type { Start, StartOptions } from '../../src/adapters/process/start/started.js';
import { needs } from '../support/needs.js';
import { alive, gone } from '../support/processes.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { until } from '../support/until.js';

const BARE: StartOptions = { env: { PATH: '/usr/bin:/bin' }, fds: [], stdin: false };
const run = promisify(execFile);
/** 32 and 33 are the C library's own: a process cannot set them, and has what it inherited. */
const LIBC_SIGNALS = 3n << 31n;
const openFds = () => readdirSync('/proc/self/fd').map(Number);

/** To its end: what it printed, and how it ended. */
async function result(start: Start, script: string, options: Partial<StartOptions> = {}, ...args: string[]) {
  const child = await start('/bin/sh', ['-c', script, 'sh', ...args], { ...BARE, ...options });
  const [stdout, stderr, ended] = await Promise.all([text(child.stdout), text(child.stderr), child.ended]);
  return { stdout, stderr, ...ended };
}

const ways: [name: string, file: string, start: Start | undefined][] = [
  ['nodeStart', 'node-start.js', nodeStart],
  ['posixStart', 'posix-start.js', posixStart()],
];
for (const [name, file, way] of ways)
  describe(`a child that ${name} starts`, () => {
    const scratch = scratchFolder();
    const start: Start = (...words) => (way ?? nodeStart)(...words);
    before(function () {
      needs(this, way !== undefined, 'this host has no posix_spawn that starts it (koffi, glibc 2.34)');
    });

    /** A process of its own that starts children: what it prints; its pid goes to `onPid`. */
    const elsewhere = (body: string, onPid: (pid: number) => void = () => undefined) => {
      const module = join(import.meta.dirname, '../../src/adapters/process/start', file);
      const made = `import * as way from ${JSON.stringify(module)}; const start = way.nodeStart ?? way.posixStart();
        const bare = ${JSON.stringify(BARE)}; ${body}`;
      const promise = run(process.execPath, ['--input-type=module', '-e', made]);
      onPid(promise.child.pid ?? 0);
      return promise;
    };

    it('says how it ended', async () => {
      assert.equal((await result(start, 'exit 0')).exitCode, 0);
      assert.equal((await result(start, 'exit 255')).exitCode, 255);
      for (const signal of ['SIGTERM', 'SIGKILL', 'SIGABRT', 'SIGXCPU', 'SIGPIPE'])
        assert.equal((await result(start, `kill -${signal.slice(3)} $$; sleep 60`)).signal, signal);
    });

    it('gets words and variables as they are, and no others', async () => {
      const words = ['', ' a  b ', '$HOME', 'ä€😀', "'\n"];
      const env = { PATH: '/bin', WORD: 'ä=\n', EMPTY: '' };
      const { stdout } = await result(start, 'cat /proc/$$/cmdline; cat /proc/$$/environ', { env }, ...words);
      const said = stdout.split('\0');
      assert.deepEqual(said.slice(4, 4 + words.length), words);
      assert.deepEqual(said.slice(4 + words.length, -1).sort(), ['EMPTY=', 'PATH=/bin', 'WORD=ä=\n']);
      await assert.rejects(result(start, 'exit 0', {}, 'a\0b'));
      await assert.rejects(result(start, 'exit 0', { env: { A: 'a\0b' } }));
    });

    it('fails with the error of the system, and leaves no descriptor', async () => {
      const plain = scratch.path('plain');
      writeFileSync(plain, '#!/bin/sh\n', { mode: 0o644 });
      const before = openFds().length;
      const failures: [string, string[], string][] = [
        [scratch.path('nothing'), [], 'ENOENT'],
        [join(plain, 'below'), [], 'ENOTDIR'],
        [plain, [], 'EACCES'],
        ['/bin/true', ['x'.repeat(1 << 20)], 'E2BIG'],
        ['/bin/true', Array<string>(200).fill('x'.repeat(100_000)), 'E2BIG'],
      ];
      for (const [program, words, code] of failures)
        for (const stdin of [false, true])
          await assert.rejects(start(program, words, { ...BARE, stdin }), (error: NodeJS.ErrnoException) => {
            assert.equal(error.code, code);
            assert.match(error.message, /^spawn\b/);
            return true;
          });
      await until(() => Promise.resolve(openFds().length <= before));
    });

    it('fails with EMFILE, at every number of descriptors that is left', async () => {
      await result(start, 'exit 0', { stdin: true });
      const before = openFds().length;
      const limit = (most: string) => sh('prlimit', '--pid', String(process.pid), `--nofile=${most}:`);
      const soft = /open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '1024';
      const codes: unknown[] = [];
      // Numbers in between are taken first.
      const first = openSync('/dev/null', 'r');
      const fillers: number[] = [];
      try {
        const most = Math.max(...openFds(), first) + 8;
        await limit(String(most));
        for (;;) fillers.push(openSync('/dev/null', 'r'));
      } catch {
        for (let left = 0; left < 6; left++) {
          codes.push(
            await start('/bin/true', [], { ...BARE, stdin: true }).then(
              () => 'started',
              (error: unknown) => errnoOf(error),
            ),
          );
          closeSync(fillers.pop() ?? -1);
        }
      } finally {
        for (const fd of [first, ...fillers]) closeSync(fd);
        await limit(soft);
      }
      assert.deepEqual(codes.slice(0, 5), Array(5).fill('EMFILE'));
      await until(() => Promise.resolve(openFds().length <= before));
    });

    it('reads all of a large input, and may close it early', async () => {
      const input = Buffer.alloc(8 << 20, 'input');
      const child = await start('/bin/cat', [], { ...BARE, stdin: true });
      child.stdin?.end(input);
      assert.ok(input.equals(await buffer(child.stdout)));
      assert.equal((await child.ended).exitCode, 0);
      const deaf = await start('/bin/sh', ['-c', 'exec <&-; echo closed; read x'], { ...BARE, stdin: true });
      const failed = new Promise((resolve) => deaf.stdin?.once('error', resolve));
      assert.equal(await text(deaf.stdout), 'closed\n');
      deaf.stdin?.write(input);
      assert.match(String(await Promise.race([failed, deaf.ended.then(() => 'ended: EPIPE')])), /EPIPE|ECONNRESET/);
      const { stdout } = await result(start, 'cat; readlink /proc/self/fd/0');
      assert.equal(stdout, '/dev/null\n');
    });

    it('may be outlived by what it printed, and by who prints for it', async () => {
      const lasting = scratch.path('lasting');
      const script = '(while [ ! -e "$1" ]; do sleep 0.01; done; echo late; echo worse >&2) & echo early';
      const child = await start('/bin/sh', ['-c', script, 'sh', lasting], BARE);
      const order: string[] = [];
      child.onExit(() => order.push('exit'));
      const printed = Promise.all([text(child.stdout), text(child.stderr)]);
      assert.equal((await child.ended.finally(() => order.push('ended'))).exitCode, 0);
      assert.deepEqual(order, ['exit', 'ended']);
      writeFileSync(lasting, '');
      assert.deepEqual(await printed, ['early\nlate\n', 'worse\n']);
    });

    it('has the descriptors that it was given, in their order, and nothing else', async function () {
      const libc = loadKoffi()?.load(null);
      const files = Array.from({ length: 60 }, (_, index) => scratch.path(`file-${String(index)}`));
      for (const each of files) writeFileSync(each, '');
      const held = files.map((each) => openSync(each, 'r'));
      // A library that does not think of its children.
      const planted = [1, 2, 3].map(() => libc?.func('dup', 'int', ['int'])(held[0]) as number);
      const known = new Map(held.map((fd, index) => [fd, files[index] ?? '']));
      try {
        const same = Array.from({ length: 60 }, (_, place) => (known.has(3 + place) ? 3 + place : (held[0] ?? 0)));
        for (const fds of [[], held, held.toReversed(), same, [...held, ...held], [held[5] ?? 0, held[5] ?? 0]]) {
          const wanted = fds.map((fd) => known.get(fd));
          const { stdout } = await result(start, 'cd /proc/$$/fd; for n in $(ls | sort -n); do readlink $n; done', {
            fds,
          });
          const found = stdout.trimEnd().split('\n');
          assert.deepEqual(found.slice(3, 3 + fds.length), wanted);
          // Where nothing else is to be had, what it would inherit beside is nothing.
          assert.deepEqual(
            found.slice(3 + fds.length).filter((each) => each !== '/dev/null'),
            [],
          );
        }
      } finally {
        for (const fd of [...held, ...planted]) if (fd >= 0) closeSync(fd);
      }
    });

    it('has every signal by default, and is the first of a session and of a group', async () => {
      const { stdout } = await result(start, 'exec cat /proc/self/status /proc/self/stat');
      for (const field of ['SigBlk', 'SigIgn', 'SigCgt']) {
        const [, bits = ''] = new RegExp(`^${field}:\\s+([0-9a-f]{16})$`, 'm').exec(stdout) ?? [];
        assert.equal(BigInt(`0x${bits}`) & ~LIBC_SIGNALS, 0n, `${field} ${bits}`);
      }
      const [pid, , , , group, session] = stdout.trimEnd().split('\n').at(-1)?.split(' ') ?? [];
      assert.deepEqual([group, session], [pid, pid]);
    });

    it('ends with its group', async () => {
      const child = await start('/bin/sh', ['-c', 'sleep 60 & echo $!; wait'], BARE);
      const grandchild = await new Promise<number>((resolve) =>
        child.stdout.once('data', (piece: Buffer) => resolve(Number(piece.toString()))),
      );
      process.kill(-child.pid, 'SIGKILL');
      assert.equal((await child.ended).signal, 'SIGKILL');
      await gone(grandchild);
    });

    it('is one of 200 at a time, beside children of Node', async () => {
      const others = Array.from({ length: 20 }, () => run('/bin/sh', ['-c', 'echo other']));
      const ends = await Promise.all(
        Array.from({ length: 200 }, (_, index) => result(start, `echo ${String(index)}; exit ${String(index)}`)),
      );
      assert.deepEqual(
        ends.map(({ stdout, exitCode }) => [stdout, exitCode]),
        ends.map((_, index) => [`${String(index)}\n`, index]),
      );
      for (const { stdout } of await Promise.all(others)) assert.equal(stdout, 'other\n');
    });

    it('keeps the process alive until it has ended, and no longer where nobody waits', async () => {
      const silent = `const child = await start('/bin/sh', ['-c', 'exec >&- 2>&-; sleep 0.2; exit 3'], bare);
        console.log((await child.ended).exitCode);`;
      assert.equal((await elsewhere(silent)).stdout, '3\n');
      const left = `const child = await start('/bin/sleep', ['60'], bare);
        for (const stream of [child.stdout, child.stderr]) stream.destroy(); child.unref(); console.log(child.pid);`;
      const pid = Number((await elsewhere(left)).stdout);
      assert.ok(alive(pid));
      process.kill(pid, 'SIGKILL');
    });

    it('dies with the process that started it, not before', async () => {
      const pidFile = scratch.path('pid');
      const words = JSON.stringify([
        '--pdeathsig',
        'KILL',
        'sh',
        '-c',
        `echo $$ >${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 60`,
      ]);
      let parent = 0;
      const body = `const child = await start('/usr/bin/setpriv', ${words}, bare);
        // Threads of the pool have had other work since, and none.
        for (let n = 0; n < 30; n++) await (await start('/bin/true', [], bare)).ended;
        console.log('begun'); await child.ended; console.log('ended');`;
      const ended = elsewhere(body, (pid) => (parent = pid)).catch((error: unknown) => error);
      await until(() => Promise.resolve(openable(pidFile)));
      const pid = Number(readFileSync(pidFile, 'utf8'));
      assert.ok(alive(pid));
      process.kill(parent, 'SIGKILL');
      await ended;
      await gone(pid);
    });
  });

function openable(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'));
    return true;
  } catch {
    return false;
  }
}
