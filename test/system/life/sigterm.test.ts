/** SIGTERM ends the daemon in bounded time and with exit code 0, whatever it is at. */
import assert from 'node:assert/strict';
import { constants, existsSync, openSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const HURRY = { server: 'drain_seconds = 0\ngive_up_seconds = 1' };

describe('SIGTERM', () => {
  const scratch = scratchFolder();
  let count = 0;
  const folder = () => scratch.path(`d${String(++count)}`);
  const start = (options: DaemonOptions = {}) => Daemon.start(folder(), { ...HURRY, ...options });
  /** Ends it; its log says so when it can. */
  const end = async (daemon: Daemon) => {
    daemon.process.kill('SIGTERM');
    assert.equal(await daemon.exited, 0, daemon.log);
    daemon.stranger.close();
  };
  const state = async (daemon: Daemon): Promise<string> => {
    const { operations } = await daemon.stranger.unary('OperationService/ListOperations', {});
    return String(((operations as Message[] | undefined)?.[0]?.['last'] as Message | undefined)?.['state']);
  };
  const running = (daemon: Daemon) => until(async () => (await state(daemon)) === 'OPERATION_STATE_RUNNING');

  it('while it starts, at any moment', async () => {
    for (const ms of [60, 120, 180, 240, 300, 400]) {
      const daemon = await Daemon.spawn(folder());
      await sleep(ms);
      daemon.process.kill('SIGTERM');
      const code = await daemon.exited;
      // Before Node runs our first line the signal has its own effect.
      assert.ok(code === 0 || daemon.log === '', `${String(code)} after ${String(ms)} ms: ${daemon.log}`);
      daemon.stranger.close();
    }
  });

  it('while a caller sends nothing', async () => {
    const daemon = await start();
    const { stream, answer } = daemon.stranger.upload('FileService/WriteFile');
    stream.write({ header: { path: daemon.image('w') } });
    await running(daemon);
    await end(daemon);
    assert.equal((await failure(answer)).reason, 'SHUTTING_DOWN');
  });

  it('while a caller reads nothing', async () => {
    const daemon = await start();
    await sh('truncate', '-s', '1G', daemon.image('s.raw'));
    const stream = daemon.stranger.stream('FileService/ReadFile', { path: daemon.image('s.raw') });
    stream.on('error', () => undefined);
    await new Promise((resolve) => stream.once('data', resolve));
    stream.pause();
    await end(daemon);
  });

  it('while an operation is where it must not be torn, and does not go on: the next start ends it', async () => {
    const where = folder();
    const toml = '[debug]\nfailpoints = ["CreateImage:publish:pause"]\n';
    const daemon = await Daemon.start(where, { ...HURRY, toml });
    const create = { path: daemon.image('x'), format: 'raw', size: '1M' };
    void failure(daemon.stranger.all('ImageService/CreateImage', create));
    await daemon.logged(/"paused"/);
    await end(daemon);
    assert.match(daemon.log, /an operation does not end/);
    const again = await Daemon.start(where, HURRY);
    assert.equal(await state(again), 'OPERATION_STATE_FAILED');
    assert.deepEqual(await again.leftovers(), []);
    await end(again);
  });

  it('with a full pipe for its log', async () => {
    const fifo = scratch.path('fifo');
    await sh('mkfifo', fifo);
    openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const daemon = await Daemon.spawn(folder(), { ...HURRY, within: ['sh', '-c', `exec "$@" >${fifo} 2>&1`, 'sh'] });
    const ask = () => daemon.stranger.unary('FileService/StatFile', { path: `/no/${'x'.repeat(3000)}` });
    await until(async () => !/UNAVAILABLE|^$/.test((await failure(ask())).reason));
    for (let n = 0; n < 40; n++) await failure(ask());
    await end(daemon);
  });

  for (const [how, script] of Object.entries({
    fails: 'echo no >&2; exit 1',
    hangs: 'exec sleep 60',
    'cannot be run': undefined,
  }))
    it(`when systemd-notify ${how}: what runs is drained`, async () => {
      const bin = scratch.path(`bin${String(++count)}`);
      await mkdir(bin);
      if (script !== undefined) {
        await writeFile(`${bin}/systemd-notify`, `#!/bin/sh\n${script}\n`);
        await chmod(`${bin}/systemd-notify`, 0o755);
      }
      const path = (process.env['PATH'] ?? '').split(':');
      // Where there is none at all: every other tool.
      if (script === undefined)
        await sh('sh', '-c', `ln -s /usr/sbin/* /usr/bin/* ${bin} 2>/dev/null; rm -f ${bin}/systemd-notify`);
      const env = {
        NOTIFY_SOCKET: scratch.path('notify'),
        PATH: script === undefined ? bin : [bin, ...path].join(':'),
      };
      const toml =
        '[[commands]]\nname = "sleep"\nexecutable = "/bin/sleep"\narguments = ["2"]\n[sandbox]\nmode = "off"\n';
      const daemon = await Daemon.start(folder(), { env, toml, server: 'drain_seconds = 20' });
      const answer = daemon.stranger.all('CommandService/Execute', { name: 'sleep', args: ['2'] });
      await running(daemon);
      await end(daemon);
      assert.equal((await answer).at(-1)?.['exit_code'], 0);
      if (how !== 'hangs') assert.match(daemon.log, /the service manager could not be notified/);
    });

  it('with a root that does not answer: at the start, in a call, and in an operation', async function () {
    this.timeout(60_000);
    const far = scratch.path('far');
    const server = await mountSshfs(this, scratch, far);
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
    const options = (where: string, failpoint: string) => ({
      ...HURRY,
      roots: [`${where}/images`, far].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
      toml: `[limits]\nroot_patience_ms = 1000\n[debug]\nfailpoints = ["${failpoint}"]\n`,
    });
    /**
     * The kernel keeps a process until its last call into such a filesystem returns; the daemon
     * itself has stopped, and let everything go.
     */
    const over = async (daemon: Daemon) => {
      daemon.process.kill('SIGTERM');
      await daemon.logged(/"STOPPED"/);
      daemon.stranger.close();
      const next = await Daemon.start(daemon.folder, HURRY);
      process.kill(server, 'SIGCONT');
      assert.equal(await daemon.exited, 0, daemon.log);
      await end(next);
    };
    for (const step of ['reserve', 'prepare', 'publish']) {
      const where = folder();
      const daemon = await Daemon.start(where, options(where, `ConvertImage:${step}:pause`));
      await writeFile(daemon.image('s.raw'), noise(1 << 20));
      const convert = { source_format: 'raw', target_format: 'qcow2' };
      const request = { ...convert, source: daemon.image('s.raw'), target: `${far}/t-${step}` };
      const ended = failure(daemon.stranger.all('ImageService/ConvertImage', request));
      await daemon.logged(/"paused"/);
      process.kill(server, 'SIGSTOP');
      daemon.process.kill('SIGUSR2');
      const stalled = await failure(
        daemon.stranger.unary('ImageService/GetImageInfo', { path: `${far}/x`, format: 'raw' }),
      );
      assert.equal(stalled.reason, 'ROOT_STALLED');
      if (step === 'reserve') {
        // Its reservation has no answer; those of the other filesystem do.
        const near = { ...convert, source: daemon.image('s.raw'), target: daemon.image('n') };
        const [far_, near_] = await Promise.all([
          ended,
          failureOrNot(
            daemon.stranger.all('ImageService/CreateImage', { path: near.target, format: 'qcow2', size: '1M' }),
          ),
        ]);
        assert.deepEqual([far_.reason, near_], ['ROOT_STALLED', undefined]);
      }
      await over(daemon);
    }
    process.kill(server, 'SIGSTOP');
    const where = folder();
    const daemon = await Daemon.spawn(where, options(where, 'ConvertImage:reserve:pause'));
    await until(() => existsSync(`${where}/state/agent-id`), 20_000);
    assert.doesNotMatch(daemon.log, /SERVING/);
    await over(daemon);
  });
});

const failureOrNot = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );
