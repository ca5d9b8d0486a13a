/** The one door for processes, with tiny programs that misbehave. */
import assert from 'node:assert/strict';
import { chmod, open, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../../src/domain/model/errors.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import type { Arg, ToolLimits } from '../../src/adapters/process/tool-call.js';
import { gone } from '../support/processes.js';
import { scratchFolder } from '../support/scratch.js';

describe('ProcessRunner', () => {
  const scratch = scratchFolder();
  let runner: ProcessRunner;
  const pids: number[] = [];
  const run = (signal: AbortSignal = new AbortController().signal) => ({
    signal,
    onChild: (child: { pid: number } | undefined) => child !== undefined && pids.push(child.pid),
  });
  const call = (tool: string, args: Arg[] = [], limits: ToolLimits = {}) => ({ tool, args, limits });

  before(async () => {
    const programs: Record<string, string> = {
      deaf: 'trap "" TERM; echo ready; while :; do sleep 0.1; done',
      endless: 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done',
      oom: 'kill -9 $$',
      exit137: 'exit 137',
      silent: 'sleep 60',
      closes: 'exec >&-; sleep 0.3; exit 3',
      parent: 'sleep 60 & echo $!; exit 0',
      environment: 'env; echo "$@"',
      complains: 'i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1',
      'says-ok': 'echo "says-ok: the disk failed" >&2; exit 0',
      burner: 'while :; do :; done',
      // What it says is in the pipe when it has ended, and nobody has read it yet.
      'late-words': [
        'setsid sh -c "exec >&-; touch $0.alone; sleep 0.3; echo the disk failed >&2" &',
        'while [ ! -e "$0.alone" ]; do sleep 0.02; done; rm "$0.alone"; exit "$1"',
      ].join('\n'),
    };
    for (const [name, body] of Object.entries(programs)) {
      await writeFile(scratch.path(name), `#!/bin/sh\n${body}\n`);
      await chmod(scratch.path(name), 0o755);
    }
    runner = new ProcessRunner({
      killGraceMs: 200,
      searchPath: `${scratch.path()}:/usr/sbin:/usr/bin:/sbin:/bin`,
      folders: new MemoryFolders('hostler-test'),
      log: { child: () => undefined, abandoned: () => undefined },
    });
  });

  it('gives a bare environment and words as they are', async () => {
    process.env['SECRET_OF_THE_DAEMON'] = 'x';
    const { stdout } = await runner.run(call('environment', ['a b', '$HOME', '*', '-x']), run());
    assert.deepEqual(
      stdout
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => line.split('=')[0])
        .sort(),
      ['LC_ALL', 'PATH', 'PWD'],
    );
    assert.match(stdout, /^a b \$HOME \* -x$/m);
  });
  it('a tool that writes and complains has failed, whatever its exit code', async () => {
    const file = await open(scratch.path('written'), 'w');
    const write = { handle: { fd: file.fd, close: () => file.close() } };
    try {
      const reading = await runner.run(call('says-ok'), run());
      assert.deepEqual([reading.code, reading.succeeded], [0, true]);
      const writing = await runner.run(call('says-ok', [[{ write }]]), run());
      assert.deepEqual([writing.code, writing.succeeded], [0, false]);
      assert.equal(writing.stderr, 'says-ok: the disk failed');
      const lines = await runner.lines({ ...call('says-ok'), silent: true }, run(), () => undefined);
      assert.equal(lines.succeeded, false);
      const answered = { ...call('exit137'), answers: [137], silent: true };
      assert.equal((await runner.run(answered, run())).succeeded, true);
      assert.equal((await runner.run({ ...answered, answers: [0] }, run())).succeeded, false);
    } finally {
      await file.close();
    }
  });
  it('a missing tool is TOOL_MISSING', async () => {
    await assert.rejects(runner.run(call('no-such-tool'), run()), { reason: 'TOOL_MISSING' });
  });
  it('ends a tool that ignores SIGTERM', async () => {
    const abort = new AbortController();
    const ended = runner.lines(call('deaf'), run(abort.signal), () => {
      abort.abort(new HostlerError('CANCELLED', 'x'));
    });
    await assert.rejects(ended, { reason: 'CANCELLED' });
    await gone(pids.at(-1) ?? 0);
  });
  it('ends a tool that prints for ever, by wall time', async () => {
    await assert.rejects(
      runner.lines(call('endless', [], { wallMs: 300 }), run(), () => undefined),
      { reason: 'TOOL_LIMIT_EXCEEDED' },
    );
  });
  it('ends a tool that prints more than we keep', async () => {
    await assert.rejects(runner.run(call('endless'), run()), { reason: 'TOOL_LIMIT_EXCEEDED' });
  });
  it('ends a tool that hangs without output', async () => {
    await assert.rejects(runner.run(call('silent', [], { stallMs: 200 }), run()), { reason: 'STALLED' });
  });
  it('limits CPU time', async () => {
    await assert.rejects(runner.run(call('burner', [], { cpuSeconds: 1 }), run()), { reason: 'TOOL_LIMIT_EXCEEDED' });
  });
  it('tells exit codes from signals', async () => {
    assert.deepEqual((({ code, signal }) => ({ code, signal }))(await runner.run(call('exit137'), run())), {
      code: 137,
      signal: undefined,
    });
    assert.deepEqual((({ code, signal }) => ({ code, signal }))(await runner.run(call('oom'), run())), {
      code: undefined,
      signal: 'SIGKILL',
    });
  });
  it('waits for the end of a tool that closes its output early', async () => {
    assert.equal((await runner.run(call('closes'), run())).code, 3);
  });
  it('leaves no grandchild that holds the pipes', async () => {
    const { stdout, code } = await runner.run(call('parent'), run());
    assert.equal(code, 0);
    await gone(Number(stdout));
  });
  it('keeps the end of what a tool complains', async () => {
    const { stderr } = await runner.run(call('complains'), run());
    assert.ok(stderr.endsWith('line 19999'));
    assert.ok(stderr.length <= 4096);
  });
  it('reads what a tool complains to its end, also when its exit is heard of first', async () => {
    const failed = await runner.run(call('late-words', ['1']), run());
    assert.deepEqual([failed.code, failed.stderr], [1, 'the disk failed']);
    // A tool that writes: the words speak against its exit code.
    const saysOk = await runner.lines({ ...call('late-words', ['0']), silent: true }, run(), () => undefined);
    assert.deepEqual([saysOk.succeeded, saysOk.stderr], [false, 'the disk failed']);
    const pieces: string[] = [];
    await runner.pieces(call('late-words', ['0']), run(), (stream, piece) => {
      pieces.push(`${stream}: ${piece.toString()}`);
      return Promise.resolve();
    });
    assert.deepEqual(pieces, ['stderr: the disk failed\n']);
  });
  it('a slow reader slows the tool, and loses nothing', async () => {
    const seen: string[] = [];
    await runner.lines(call('sh', ['-c', 'seq 1 20000']), run(), async (line) => {
      seen.push(line);
      if (seen.length % 5000 === 0) await sleep(20);
    });
    assert.equal(seen.length, 20_000);
    assert.equal(seen.at(-1), '20000');
  });
  it('hands over files and secrets by descriptor, and leaks none', async () => {
    await writeFile(scratch.path('file'), 'content');
    const open0 = readdirSync('/proc/self/fd').length;
    const handle = await open(scratch.path('file'), 0o10000000);
    const { stdout } = await runner.run(
      call('cat', [[{ read: { handle } }], [{ secret: Buffer.from('hush') }]]),
      run(),
    );
    assert.equal(stdout, 'contenthush');
    await handle.close();
    assert.ok(readdirSync('/proc/self/fd').length <= open0);
  });
});
