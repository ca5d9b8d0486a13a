/**
 * A command ends by its limit, a cancel and the daemon's end, whatever its caller reads and as
 * whoever it runs.
 */
import assert from 'node:assert/strict';
import { chmod, copyFile, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { Daemon } from '../../support/daemon.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { alive, gone } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const NOBODY = 65534;

const toml = (executable: string, seconds: number) => `
[[commands]]
name = "shell"
executable = "${executable}"
arguments = ["-c", "(.|\\n)*", "--", "sleep", "60", "--reuid", "--regid", "--clear-groups", "0"]
timeout_seconds = ${String(seconds)}
`;

/** Writes without end, more than any buffer on the way holds. */
const WRITERS = {
  'to standard output': 'exec yes',
  'to standard error': 'exec yes >&2',
  'to both, each by a process of its own': 'yes & yes >&2',
  'to both in turn': 'while :; do echo "$PATH$PATH$PATH$PATH"; echo "$PATH$PATH$PATH$PATH" >&2; done',
};

describe('the end of a command', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let count = 0;

  before(async () => {
    daemon = await Daemon.start(scratch.path('d'), { toml: toml('/bin/sh', 3) });
  });
  after(() => daemon.stop());

  /** Begins to run it and reads its first piece: its pid. */
  const begin = async (where: Daemon, script: string, more: Message = {}) => {
    const request_id = `c${String(++count)}`;
    const args = ['-c', `echo $$; ${script}`];
    const stream = where.stranger.stream('CommandService/Execute', { name: 'shell', args, request_id, ...more });
    const error = new Promise<CallError>((resolve) => stream.once('error', (e) => resolve(new CallError(e as never))));
    // Either stream may be read first, and more than the first line in one piece.
    const got = { stdout: 0, stderr: 0 };
    let line = '';
    while (line === '') {
      const message = await new Promise<Message>((resolve) => {
        stream.once('data', (piece: Message) => {
          // At once: whatever came with it would be lost.
          stream.pause();
          resolve(piece);
        });
        stream.resume();
      });
      for (const name of ['stdout', 'stderr'] as const) got[name] += (message[name] as Buffer | undefined)?.length ?? 0;
      line = (message['stdout'] as Buffer | undefined)?.toString().split('\n')[0] ?? '';
    }
    got.stdout -= line.length + 1;
    return { stream, error, pid: Number(line), got, request_id };
  };
  const operation = async (request_id: string): Promise<Message> => {
    const { operations } = await daemon.stranger.unary('OperationService/ListOperations', {});
    return (operations as Message[]).find((each) => each['request_id'] === request_id) ?? {};
  };
  const ended = async (request_id: string): Promise<Message> => {
    const last = async () => (await operation(request_id))['last'] as Message;
    await until(async () => !/RUNNING|QUEUED|CANCELLING/.test(String((await last())['state'])));
    return last();
  };

  for (const [how, script] of Object.entries(WRITERS))
    it(`by its time, when it writes ${how}, and nobody reads`, async () => {
      const { stream, pid, request_id } = await begin(daemon, script);
      const { state, error } = await ended(request_id);
      assert.equal(state, 'OPERATION_STATE_FAILED');
      assert.match(JSON.stringify(error), /wall_ms/);
      await gone(pid);
      stream.cancel();
    });

  for (const [how, script] of Object.entries(WRITERS))
    it(`by a cancel, when it writes ${how}, and nobody reads`, async () => {
      const { stream, pid, request_id } = await begin(daemon, script);
      const { operation_id } = await operation(request_id);
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id });
      assert.equal((await ended(request_id))['state'], 'OPERATION_STATE_CANCELLED');
      await gone(pid);
      stream.cancel();
    });

  it('by itself, with all that it printed, when what it left behind would go on printing', async () => {
    const begun = await begin(daemon, 'head -c 8M /dev/zero; (yes & yes >&2 &); exit 0');
    const { stream, request_id } = begun;
    let bytes = begun.got.stdout;
    const end = new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    stream.on('data', ({ stdout }: Message) => (bytes += stdout === undefined ? 0 : (stdout as Buffer).length));
    stream.resume();
    await end;
    assert.ok(bytes >= 8 << 20, String(bytes));
    assert.equal((await ended(request_id))['state'], 'OPERATION_STATE_SUCCEEDED');
  });

  it('a slow reader gets all of both streams, and the exit code', async () => {
    const lines = 40_000;
    const half = `seq 1 ${String(lines)}`;
    const { stream, got } = await begin(daemon, `${half} & ${half} >&2; wait; exit 0`, { timeout: { seconds: '60' } });
    const sums = { ...got };
    let exitCode: unknown;
    const end = new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    stream.on('data', (message: Message) => {
      for (const name of ['stdout', 'stderr'] as const)
        if (message[name] !== undefined) sums[name] += (message[name] as Buffer).length;
      if (message['exit_code'] !== undefined) exitCode = message['exit_code'];
      stream.pause();
      setImmediate(() => stream.resume());
    });
    stream.resume();
    await end;
    const expected = Buffer.byteLength(Array.from({ length: lines }, (_, n) => `${String(n + 1)}\n`).join(''));
    assert.deepEqual([sums, exitCode], [{ stdout: expected, stderr: expected }, 0]);
  });

  it('by SIGTERM to the daemon, which exits 0', async () => {
    for (const script of Object.values(WRITERS)) {
      const folder = scratch.path(`t${String(++count)}`);
      const other = await Daemon.start(folder, { toml: toml('/bin/sh', 3600), server: 'drain_seconds = 0' });
      const { pid } = await begin(other, script);
      other.process.kill('SIGTERM');
      assert.equal(await other.exited, 0, other.log);
      other.stranger.close();
      await gone(pid);
    }
  });

  describe('of a daemon that is not root, when the command becomes somebody else', () => {
    let helper = '';
    const pids: number[] = [];
    before(async function () {
      needs(this, isRoot && installed('setpriv'), 'needs root and setpriv');
      helper = scratch.path('become');
      await copyFile((await sh('which', 'setpriv')).trim(), helper);
      await chmod(helper, 0o4755);
      await sh('chmod', '755', scratch.path());
      const probe = await sh(
        'setpriv',
        '--reuid',
        String(NOBODY),
        '--clear-groups',
        helper,
        '--reuid',
        '0',
        'id',
        '-ru',
      );
      needs(this, probe.trim() === '0', 'set-user-id programs have no effect here');
    });
    after(() => {
      for (const pid of pids) if (alive(pid)) process.kill(pid, 'SIGKILL');
    });

    const asRoot = (words: string) => `${helper} --reuid 0 --regid 0 --clear-groups ${words}`;
    const note = async (file: string) => {
      await until(() => existsSync(file));
      await until(async () => (await readFile(file, 'utf8')).endsWith('\n'));
      const pid = Number(await readFile(file, 'utf8'));
      pids.push(pid);
      return pid;
    };

    for (const [what, script] of Object.entries({
      'it is the command itself': (file: string) => `echo $$ > ${file}; exec ${asRoot('sleep 60')}`,
      'it is a child that the command waits for': (file: string) => `${asRoot('sleep 60')} & echo $! > ${file}; wait`,
      'it is left behind and holds the pipes': (file: string) =>
        `${asRoot(`sh -c 'echo $$ > ${file}; exec sleep 60'`)} & while [ ! -s ${file} ]; do sleep 0.02; done; exit 0`,
    }))
      it(`${what}: the call ends, and the daemon goes on`, async () => {
        const folder = scratch.path(`n${String(++count)}`);
        await sh('mkdir', '-m', '777', folder);
        const other = await Daemon.start(folder, { uid: NOBODY, toml: toml('/bin/sh', 1) });
        try {
          const { error, stream } = await begin(other, script(`${folder}/pid`));
          await note(`${folder}/pid`);
          stream.resume();
          assert.equal((await error).reason, 'TOOL_LIMIT_EXCEEDED');
          // Cancelled, and at the daemon's end, it is the same.
          const again = await begin(other, script(`${folder}/pid2`));
          await note(`${folder}/pid2`);
          again.stream.cancel();
          assert.equal((await again.error).code, 1);
          const { operations } = await other.stranger.unary('OperationService/ListOperations', {});
          assert.equal((operations as Message[]).length, 2);
        } finally {
          assert.equal(await other.stop(), 0, other.log);
        }
      });
  });
});
