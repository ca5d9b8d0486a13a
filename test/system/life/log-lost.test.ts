/**
 * Whatever becomes of the log, the daemon goes on; how many lines were lost is said when it works
 * again.
 */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { CallError } from '../../support/stranger.js';
import { until } from '../../support/until.js';

/** So that each line is long. */
const LONG = 'x'.repeat(200);

describe('a log that', () => {
  const scratch = scratchFolder();
  let count = 0;

  const serves = (daemon: Daemon) =>
    daemon.stranger.unary('HostInfoService/GetArchitecture', {}).then(
      () => true,
      () => false,
    );
  /** A daemon whose output goes where the shell's words say. */
  const start = async (redirect: string, options: DaemonOptions = {}) => {
    const folder = scratch.path(`d${String(++count)}`);
    const within = ['sh', '-c', `exec "$@" ${redirect}`, 'sh'];
    const daemon = await Daemon.spawn(folder, {
      within,
      http: '127.0.0.1:0',
      toml: '[limits]\ndenials_per_second = 100000\n',
      ...options,
    });
    await until(() => serves(daemon));
    return daemon;
  };
  /** Each leaves a line. */
  const calls = async (daemon: Daemon, number: number) => {
    for (let n = 0; n < number; n++)
      await assert.rejects(
        daemon.stranger.unary('FileService/StatFile', { path: `/nowhere${`/${LONG}`.repeat(15)}` }),
        (error: unknown) => error instanceof CallError && error.reason === 'PATH_OUTSIDE_ROOTS',
      );
  };
  const work = async (daemon: Daemon) => {
    const path = daemon.image(`i${String(++count)}`);
    await daemon.stranger.operation('ImageService/CreateImage', { path, format: 'qcow2', size: '1M' });
    await calls(daemon, 5);
  };
  const fifo = async () => {
    const path = scratch.path(`f${String(++count)}`);
    await sh('mkfifo', path);
    return { path, reader: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) };
  };
  /** What there is to read now. */
  const readAll = (reader: number): string => {
    const [buffer, pieces] = [Buffer.alloc(1 << 16), [] as string[]];
    for (;;) {
      try {
        const length = readSync(reader, buffer);
        if (length === 0) return pieces.join('');
        pieces.push(buffer.toString('latin1', 0, length));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
        return pieces.join('');
      }
    }
  };
  const lostIn = (text: string) =>
    [...text.matchAll(/"message":"lines of this log were lost","lines":(\d+)|"lines":(\d+),"message":"lines of this/g)]
      .map(([, first, second]) => Number(first ?? second))
      .reduce((sum, lines) => sum + lines, 0);

  for (const [what, redirect] of Object.entries({
    'is closed': '>&- 2>&-',
    'is on a full disk': '>/dev/full 2>&1',
    'cannot be written': '</dev/null >&0 2>&1',
  }))
    it(`${what} from the start`, async () => {
      const daemon = await start(redirect);
      await work(daemon);
      assert.equal(await daemon.stop(), 0);
    });

  it('has lost its reader, and finds another', async () => {
    const { path, reader } = await fifo();
    const daemon = await start(`>${path} 2>&1`);
    await work(daemon);
    closeSync(reader);
    await work(daemon);
    await work(daemon);
    const again = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    let text = '';
    await until(async () => {
      await calls(daemon, 1);
      text += readAll(again);
      return lostIn(text) > 0;
    });
    assert.ok(lostIn(text) >= 10, text.slice(0, 1000));
    assert.equal(await daemon.stop(), 0);
    text += readAll(again);
    assert.match(text, /"STOPPED"/);
    closeSync(again);
  });

  it('nobody reads: what waits is bounded, what comes after is counted, and reading it all adds up', async () => {
    const { path, reader } = await fifo();
    const daemon = await start(`>${path} 2>&1`);
    await work(daemon);
    const number = 600;
    await calls(daemon, number);
    let text = readAll(reader);
    // The last line may be there in part.
    const there = () =>
      text
        .slice(0, text.lastIndexOf('\n'))
        .split('\n')
        .filter((line) => line.includes('/nowhere/'));
    let more = 0;
    await until(async () => {
      await calls(daemon, 1);
      more += 1;
      text += readAll(reader);
      return lostIn(text) + there().length >= number + 5;
    });
    assert.ok(lostIn(text) > 0 && lostIn(text) + there().length <= number + more + 10, String(lostIn(text)));
    for (const line of there()) JSON.parse(line);
    assert.ok(there().length < number, 'nothing was dropped');
    assert.ok(text.length < 2 << 20);
    assert.equal(await daemon.stop(), 0);
    closeSync(reader);
  });

  it('is in a file on a disk that is full, and has room again', async function () {
    needs(this, isRoot, 'mounting a small disk needs root');
    const disk = scratch.path('disk');
    await mkdir(disk);
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', disk]);
    needs(this, mounted.code === 0, `no tmpfs here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', disk));
    const daemon = await start(`>>${disk}/log 2>&1`);
    await work(daemon);
    await writeFile(`${disk}/filler`, Buffer.alloc(1 << 20)).catch((error: unknown) => {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    });
    await calls(daemon, 40);
    await rm(`${disk}/filler`);
    const log = () => readFileSync(`${disk}/log`, 'utf8');
    await until(async () => {
      await calls(daemon, 1);
      return lostIn(log()) > 0;
    });
    assert.equal(await daemon.stop(), 0);
    const whole = log()
      .split('\n')
      .filter((line) => line.includes('/nowhere/'))
      .filter((line) => {
        try {
          JSON.parse(line);
          return true;
        } catch {
          return false; // the one that was cut when the disk was full, and is counted as lost
        }
      });
    assert.ok(lostIn(log()) + whole.length >= 46);
    assert.match(log(), /"STOPPED"/);
  });

  it('is lost is told as a metric', async () => {
    const folder = scratch.path(`d${String(++count)}`);
    const daemon = await Daemon.start(folder, { http: '127.0.0.1:0' });
    try {
      assert.match(await daemon.metrics(), /^hostler_log_lines_lost_total 0$/m);
    } finally {
      await daemon.stop();
    }
  });
});
