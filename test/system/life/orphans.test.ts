/** What a tool must not inherit, and what a killed daemon must not leave. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { sandboxMark } from '../../../src/adapters/linux/orphans.js';
import { Daemon } from '../../support/daemon.js';
import { alive, gone } from '../../support/processes.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const LIST = '[[commands]]\nname = "ls"\nexecutable = "/bin/ls"\narguments = ["-l", "/proc/self/fd"]\n';

describe('orphans', () => {
  const scratch = scratchFolder();
  const folder = () => scratch.path('daemon');

  it('no tool inherits a descriptor of the journal, in the sandbox or outside', async () => {
    const daemon = await Daemon.start(folder(), { toml: LIST });
    try {
      const state = `${folder()}/state`;
      const own = readdirSync(`/proc/${String(daemon.process.pid)}/fd`).map((fd) =>
        readlinkSync(`/proc/${String(daemon.process.pid)}/fd/${fd}`),
      );
      assert.ok(own.some((path) => path.startsWith(state)));
      const messages = await daemon.stranger.all('CommandService/Execute', {
        name: 'ls',
        args: ['-l', '/proc/self/fd'],
      });
      const listed = messages.map(({ stdout }) => (stdout instanceof Uint8Array ? Buffer.from(stdout).toString() : ''));
      assert.match(listed.join(''), /\/dev\/null/);
      assert.ok(!listed.join('').includes(state), listed.join(''));
      writeFileSync(daemon.image('big.raw'), Buffer.alloc(8 << 20, 1));
      const stream = daemon.stranger.stream('ImageService/ConvertImage', {
        source: daemon.image('big.raw'),
        source_format: 'raw',
        target: daemon.image('big.qcow2'),
        target_format: 'qcow2',
        bandwidth_bytes_per_second: '65536',
      });
      stream.on('error', () => undefined);
      stream.on('data', () => undefined);
      let tools: number[] = [];
      await until(() => {
        tools = processes().filter((pid) => commandOf(pid).startsWith('/usr/bin/qemu-img convert'));
        return tools.length > 0;
      });
      try {
        for (const pid of tools)
          for (const fd of readdirSync(`/proc/${String(pid)}/fd`)) assert.ok(!opened(pid, fd).startsWith(state));
      } finally {
        stream.cancel();
      }
    } finally {
      await daemon.stop();
    }
  });

  it('what the process that starts the daemon left open is closed', async () => {
    // A shell's redirection is the plainest way to leave one open.
    const daemon = await Daemon.start(folder(), {
      within: ['bash', '-c', `exec 77<>"$0" && exec "$@"`, scratch.path('left-open')],
    });
    try {
      assert.ok(existsSync(scratch.path('left-open')));
      const own = readdirSync(`/proc/${String(daemon.process.pid)}/fd`);
      assert.ok(!own.includes('77'), String(own));
    } finally {
      await daemon.stop();
    }
  });

  it('a sandbox that an earlier daemon left is ended at the start, one of another daemon is not', async function () {
    await needsSandbox.call(this);
    const bwrap = (mark: string) =>
      spawn('bwrap', ['--unshare-uts', '--hostname', mark, '--ro-bind', '/', '/', 'sleep', '1000'], {
        stdio: 'ignore',
      });
    const [ours, others] = [bwrap(sandboxMark(`${folder()}/state`)), bwrap(sandboxMark('/elsewhere'))];
    try {
      await until(() => [ours, others].every(({ pid }) => pid !== undefined && commandOf(pid).includes('--hostname')));
      const daemon = await Daemon.start(folder());
      assert.match(daemon.log, /a tool of an earlier start was ended/);
      await gone(ours.pid ?? 0);
      assert.ok(alive(others.pid ?? 0));
      await daemon.stop();
    } finally {
      for (const child of [ours, others]) child.kill('SIGKILL');
    }
  });

  it('a daemon that is killed while a tool starts leaves none after the next start', async function () {
    this.timeout(90_000);
    await needsSandbox.call(this);
    const mark = sandboxMark(`${folder()}/state`);
    for (let ms = 4; ms <= 60; ms += 4) {
      const daemon = await Daemon.start(folder());
      const request: Message = { path: daemon.image(`k${String(ms)}`), format: 'qcow2', size: '1G' };
      const stream = daemon.stranger.stream('ImageService/CreateImage', request);
      stream.on('error', () => undefined);
      stream.on('data', () => undefined);
      await sleep(ms);
      daemon.process.kill('SIGKILL');
      await daemon.exited;
      daemon.stranger.close();
    }
    const daemon = await Daemon.start(folder());
    await until(() => !processes().some((pid) => commandOf(pid).includes(mark)));
    await daemon.stop();
  });
});

function processes(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Empty when the tool has closed it since. */
function opened(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${String(pid)}/fd/${fd}`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** Empty for what has ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
