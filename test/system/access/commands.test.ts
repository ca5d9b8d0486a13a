/** CommandService: commands that the operator has named, and nothing else. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { alive, gone, quiet } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { CallError, type Message } from '../../support/stranger.js';

const SHELL = `
[[commands]]
name = "shell"
executable = "/bin/sh"
arguments = ["-c", "[^;]*"]
timeout_seconds = 20
exit_codes = [0, 3]
`;
const AS_NOBODY = `
[[commands]]
name = "whoami"
executable = "/usr/bin/id"
arguments = ["-un", "-Gn"]
user = "nobody"
`;

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: unknown;
  readonly error: CallError | undefined;
}

describe('CommandService', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: `${SHELL}${isRoot ? AS_NOBODY : ''}
[[commands]]
name = "cat"
executable = "/bin/cat"
[[commands]]
name = "gone"
executable = "/no/such/tool"
[[commands]]
name = "patterns"
executable = "/bin/true"
arguments = ["([a-z]+)+!", "(0|0)*1", "(.*.*.*)*=", "(x?){30}x{30}"]
`,
  }));
  const execute = async (request: Message): Promise<Outcome> => {
    const messages: Message[] = [];
    const stream = daemon.get().stranger.stream('CommandService/Execute', request);
    stream.on('data', (message: Message) => messages.push(message));
    const error = await new Promise<CallError | undefined>((resolve) => {
      stream.once('end', () => resolve(undefined));
      stream.once('error', (failed) => resolve(new CallError(failed as never)));
    });
    const text = (field: string) =>
      Buffer.concat(messages.flatMap(({ [field]: data }) => (data === undefined ? [] : [data as Buffer]))).toString();
    return { stdout: text('stdout'), stderr: text('stderr'), exitCode: messages.at(-1)?.['exit_code'], error };
  };
  const shell = (script: string, more: Message = {}) => execute({ name: 'shell', args: ['-c', script], ...more });

  it('parity row 6: arguments as they are, no shell of ours, a bare environment', async () => {
    const { stdout, exitCode, error } = await shell('echo "$0 $PATH $HOME $LC_ALL" && pwd >/dev/null && env | wc -l');
    assert.equal(error, undefined);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^\/bin\/sh \S*bin\S* {2}C\n\d\n$/);
    const odd = await execute({
      name: 'shell',
      args: ['-c', 'printf "[%s]" "$0" "$@"', 'a b', '$(id)', '*', "'", '\n'],
    });
    assert.equal(odd.stdout, "[a b][$(id)][*]['][\n]");
  });

  it('parity row 6: standard input, both outputs, exit codes that are accepted and that are not', async () => {
    const input = Buffer.alloc(3 << 20, 'x');
    assert.equal((await execute({ name: 'cat', stdin: input })).stdout.length, input.length);
    const accepted = await shell('echo out && echo err >&2 && exit 3');
    assert.deepEqual([accepted.stdout, accepted.stderr, accepted.exitCode], ['out\n', 'err\n', 3]);
    assert.equal(accepted.error, undefined);
    const refused = await shell('echo last words >&2 && exit 4');
    assert.deepEqual([refused.stderr, refused.exitCode, refused.error?.reason], ['last words\n', 4, 'TOOL_FAILED']);
    assert.deepEqual([refused.error?.metadata['exit_code'], refused.error?.metadata['stderr']], ['4', 'last words']);
    assert.equal((await shell('kill -9 $$')).exitCode, 137);
    // What it was given is secret; its words may repeat it, and the error is shown to others too.
    const repeats = await shell('cat >&2 && exit 4', { stdin: Buffer.from('a secret') });
    assert.deepEqual([repeats.stderr, repeats.error?.metadata['exit_code']], ['a secret', '4']);
    assert.equal(repeats.error?.metadata['stderr'], undefined);
    // A command that does not read what it is given.
    assert.equal((await shell('exit 0', { stdin: input })).exitCode, 0);
  });

  it('parity row 6: attempts and delay', async () => {
    const counter = scratch.path('counter');
    await writeFile(counter, '');
    const script = `echo x >> ${counter} && test $(wc -l < ${counter}) -ge 3 || exit 9`;
    const started = Date.now();
    const answer = await shell(script, { attempts: 5, delay: { seconds: '0', nanos: 200_000_000 } });
    assert.deepEqual([answer.exitCode, answer.error], [0, undefined]);
    // A delay is a time: it took both, at least.
    assert.ok(Date.now() - started >= 400);
    assert.equal((await shell('exit 9', { attempts: 2 })).error?.reason, 'TOOL_FAILED');
  });

  it('parity row 6: a missing binary, a name that is not configured, an argument that matches no pattern', async () => {
    for (const [request, reason] of [
      [{ name: 'gone' }, 'TOOL_MISSING'],
      [{ name: 'sh' }, 'COMMAND_NOT_FOUND'],
      [{ name: '/bin/sh' }, 'COMMAND_NOT_FOUND'],
      [{ name: 'shell', args: ['-c', 'true; false'] }, 'ARGUMENT_NOT_ALLOWED'],
      [{ name: 'shell', args: ['-c;'] }, 'ARGUMENT_NOT_ALLOWED'],
      [{ name: 'cat', args: ['/etc/passwd'] }, 'ARGUMENT_NOT_ALLOWED'],
      [{ name: 'cat', args: [''] }, 'ARGUMENT_NOT_ALLOWED'],
      [{}, 'INVALID_FIELD'],
      [{ name: 'shell', args: ['a\0b'] }, 'INVALID_FIELD'],
      [{ name: 'shell', attempts: 0 }, 'INVALID_FIELD'],
      [{ name: 'shell', timeout: { seconds: '-1' } }, 'INVALID_FIELD'],
      [{ name: 'shell', delay: { seconds: '99999999' } }, 'INVALID_FIELD'],
    ] as const)
      assert.equal((await execute(request)).error?.reason, reason, JSON.stringify(request));
  });

  it('patterns that could be tried in many ways are matched in the time that the argument is long', async () => {
    // Each of these would keep a matcher that goes back and forth for longer than anybody lives, or
    // is many of them.
    for (const args of [['a'.repeat(4096)], ['0'.repeat(4096)], ['\n'.repeat(4096)], Array<string>(256).fill('aaa!')]) {
      const fits = args.length > 1;
      const { error } = await execute({ name: 'patterns', args });
      assert.equal(error?.reason, fits ? undefined : 'ARGUMENT_NOT_ALLOWED', args[0]?.slice(0, 3));
    }
    const fitting = [`${'a'.repeat(4095)}!`, `${'0'.repeat(4095)}1`, `${'.'.repeat(4095)}=`, 'x'.repeat(30)];
    for (const arg of fitting) assert.equal((await execute({ name: 'patterns', args: [arg] })).error, undefined);
  });

  it('a timeout ends the command and all that it started', async () => {
    const { error, stdout } = await shell('sleep 60 & echo $! && wait', { timeout: { seconds: '1' } });
    assert.equal(error?.reason, 'TOOL_LIMIT_EXCEEDED');
    await gone(Number(stdout));
  });

  it('a caller that leaves ends the command; a slow one slows it', async () => {
    const stream = daemon.get().stranger.stream('CommandService/Execute', {
      name: 'shell',
      args: ['-c', 'echo $$ && exec yes'],
    });
    const first = await new Promise<Message>((resolve) => stream.once('data', resolve));
    const pid = Number.parseInt((first['stdout'] as Buffer).toString(), 10);
    stream.pause();
    await quiet(pid);
    assert.ok(alive(pid));
    stream.cancel();
    await new Promise((resolve) => stream.once('error', resolve));
    await gone(pid);
  });

  it('a repeated request id answers with the exit code, and runs nothing', async () => {
    const counter = scratch.path('once');
    const request = { request_id: 'e1' };
    assert.equal((await shell(`echo x >> ${counter} && exit 3`, request)).exitCode, 3);
    const again = await shell(`echo x >> ${counter} && exit 3`, request);
    assert.deepEqual([again.exitCode, again.stdout], [3, '']);
    assert.equal((await shell(`cat ${counter}`)).stdout, 'x\n');
    assert.equal((await shell('exit 3', request)).error?.reason, 'REQUEST_ID_REUSED');
  });

  it('runs as the user that the configuration says, with that user’s groups', async function () {
    needs(this, isRoot, 'becoming another user needs root');
    assert.equal((await execute({ name: 'whoami', args: ['-un'] })).stdout, 'nobody\n');
    assert.equal((await execute({ name: 'whoami', args: ['-Gn'] })).stdout, 'nogroup\n');
  });

  it('a command does not outlive the daemon', async () => {
    const other = await Daemon.start(scratch.path('killed'), { toml: SHELL });
    const stream = other.stranger.stream('CommandService/Execute', {
      name: 'shell',
      args: ['-c', 'echo $$ && sleep 60'],
    });
    stream.on('error', () => undefined);
    const first = await new Promise<Message>((resolve) => stream.once('data', resolve));
    other.process.kill('SIGKILL');
    await other.exited;
    other.stranger.close();
    await gone(Number.parseInt((first['stdout'] as Buffer).toString(), 10));
  });

  it('off unless configured', async () => {
    const other = await Daemon.start(scratch.path('bare'));
    try {
      const stream = other.stranger.stream('CommandService/Execute', { name: 'shell' });
      const error = await new Promise<CallError>((resolve) =>
        stream.once('error', (failed) => resolve(new CallError(failed as never))),
      );
      assert.equal(error.reason, 'COMMAND_NOT_FOUND');
      stream.on('data', () => undefined);
    } finally {
      await other.stop();
    }
  });

  it('hostler exec passes everything on, also the exit code', async () => {
    const env = { HOSTLER_ADDRESS: daemon.get().address };
    const ended = await tryRun(HOSTLER, ['exec', 'shell', '--', '-c', 'echo out && echo err >&2 && exit 3'], { env });
    assert.deepEqual([ended.stdout, ended.stderr, ended.code], ['out\n', 'err\n', 3]);
  });
});
