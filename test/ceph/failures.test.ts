/** What goes wrong with images of a real Ceph cluster, and what is left of it: nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { cephCluster } from '../support/servers/ceph.js';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { CallError, failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const SLOW = 8 * MIB;

describe('failures of a Ceph cluster', () => {
  const scratch = scratchFolder();
  const cluster = cephCluster(scratch, 'cephx');
  let daemon: Daemon;
  const file = (name: string) => daemon.image(name);
  const run = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const look = (path: string) => daemon.stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' });
  const slowCopy = (target: string, bytesPerSecond = SLOW) => ({
    source: file('disk.raw'),
    target,
    bandwidth_bytes_per_second: String(bytesPerSecond),
  });
  const nothingLeft = async (patienceMs = 90_000) => {
    await until(async () => (await cluster.leftovers()).length === 0, patienceMs);
  };
  /** A daemon with state of its own beside the suite's. */
  const start = (name: string, more = '') =>
    Daemon.start(scratch.path(name), {
      // All of them read the same file.
      roots: `[[roots]]\npath = "${scratch.path('daemon/images')}"\n`,
      toml: `${cluster.toml({ cluster: 'patience_seconds = 20\nwatcher_patience_seconds = 90\nabandoned_seconds = 1\n' })}${more}`,
    });
  /** A daemon's copy to RBD, once bytes have moved. */
  async function moving(of: Daemon, target: string, bytesPerSecond = SLOW) {
    const stream = of.stranger.stream('ImageService/CopyImage', slowCopy(target, bytesPerSecond));
    const ended = new Promise<Error | undefined>((resolve) => {
      stream.once('error', resolve);
      stream.once('end', () => resolve(undefined));
    });
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject);
      stream.on('data', (event: Message) => {
        const progress = event['progress'] as Message | undefined;
        if (event['phase'] === 'OPERATION_PHASE_COPYING' && Number(progress?.['done_bytes'] ?? 0) > 0) resolve();
      });
    });
    assert.equal((await cluster.leftovers()).length, 1);
    return { stream, ended };
  }

  before(async () => {
    await writeFile(
      scratch.path('wrong.keyring'),
      '[client.admin]\n\tkey = AQAZQgZrHOYCIhAATPy/6ockjdeGhaRDd/mlcA==\n',
    );
    await writeFile(scratch.path('away.conf'), '[global]\nmon_host = [v2:127.0.0.1:1]\n');
    const more = `[[clusters]]\nname = "wrong-key"\nconfig_file = "${cluster.configFile}"\nuser = "admin"
keyring = "${scratch.path('wrong.keyring')}"\n[[pools]]\nname = "locked"\ncluster = "wrong-key"
[[clusters]]\nname = "away"\nconfig_file = "${scratch.path('away.conf')}"\npatience_seconds = 3
[[pools]]\nname = "away"\ncluster = "away"\n[[pools]]\nname = "unmade"\ncluster = "test"
[limits.tools]\nstall_seconds = 8\n`;
    daemon = await start('daemon', more);
    scratch.onEnd(() => daemon.stop());
    await writeFile(file('disk.raw'), noise(64 * MIB));
  });

  it('bad names, missing pools, images and snapshots', async () => {
    await run('CreateImage', { path: 'rbd:rbd/there', format: 'raw', size: '8M' });
    const reasons: [string, string][] = [
      ['rbd:rbd/not-there', 'IMAGE_NOT_FOUND'],
      ['rbd:rbd/there@not-there', 'IMAGE_NOT_FOUND'],
      ['rbd:rbd/space/there', 'POOL_NOT_FOUND'],
      ['rbd:other/there', 'POOL_NOT_FOUND'],
      ['rbd:unmade/there', 'POOL_NOT_FOUND'],
      ['rbd:locked/there', 'ACCESS_DENIED'],
      ['rbd:rbd/a:b', 'INVALID_FIELD'],
      ['rbd:rbd/a@b@c', 'INVALID_FIELD'],
      ['rbd:rbd/a/b/c', 'INVALID_FIELD'],
      ['rbd:rbd/a\u0007', 'INVALID_FIELD'],
      ['rbd:rbd/.hostler-x-y', 'PATH_OUTSIDE_ROOTS'],
    ];
    for (const [path, reason] of reasons) assert.equal((await failure(look(path))).reason, reason, path);
    const snapshot = run('CreateImage', { path: 'rbd:rbd/there@snap', format: 'raw', size: '8M' });
    assert.equal((await failure(snapshot)).reason, 'ROOT_READ_ONLY');
    const formatted = daemon.stranger.unary('ImageService/GetImageInfo', { path: 'rbd:rbd/there', format: 'qcow2' });
    assert.equal((await failure(formatted)).reason, 'UNSUPPORTED_BY_BACKEND');
  });

  it('a name with a comma, a space and a leading dash is one name', async () => {
    const path = 'rbd:rbd/-a ,b';
    await run('CopyImage', { source: file('disk.raw'), target: path, verify: true });
    await run('ConvertImage', {
      source: path,
      source_format: 'raw',
      target: file('comma.qcow2'),
      target_format: 'qcow2',
    });
    await run('DeleteImage', { path });
  });

  it('a cluster that is away answers in time, and other work goes on', async () => {
    let answered = false;
    const away = failure(look('rbd:away/image')).finally(() => {
      answered = true;
    });
    await run('CreateImage', { path: file('meanwhile.raw'), format: 'raw', size: '1M' });
    assert.equal(answered, false, 'other work waited');
    const error = await away;
    assert.equal(error.reason, 'ROOT_STALLED');
    const pool = daemon.stranger.unary('HostInfoService/GetPoolInfo', { pool: 'away' });
    assert.equal((await failure(pool)).reason, 'ROOT_STALLED');
  });

  it('an image with a watcher is in use; when the watcher is killed, its removal waits for the watch to end', async () => {
    const words = ['--conf', cluster.configFile, '--keyring', cluster.keyring, 'watch', 'rbd/there'];
    const watcher = spawn('rbd', words, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await until(async () => (await cluster.rbd('status', 'rbd/there')).includes('watcher='));
      const wipe = run('WipeImage', { path: 'rbd:rbd/there', mode: 'WIPE_MODE_DISCARD' });
      assert.equal((await failure(wipe)).reason, 'IMAGE_IN_USE');
      const over = { ...slowCopy('rbd:rbd/there'), overwrite: true };
      assert.equal((await failure(run('CopyImage', over))).reason, 'IMAGE_IN_USE');
      const removal = run('DeleteImage', { path: 'rbd:rbd/there' });
      await sleep(2000);
      watcher.kill('SIGKILL');
      await removal;
    } finally {
      watcher.kill('SIGKILL');
    }
    assert.equal((await failure(look('rbd:rbd/there'))).reason, 'IMAGE_NOT_FOUND');
  });

  it('a cancel takes the half-made image away', async () => {
    const { stream, ended } = await moving(daemon, 'rbd:rbd/cancelled');
    stream.cancel();
    await ended;
    await nothingLeft(30_000);
    assert.equal((await failure(look('rbd:rbd/cancelled'))).reason, 'IMAGE_NOT_FOUND');
  });

  it('a daemon that was killed finds and removes what it left', async () => {
    const first = await start('again');
    const { ended } = await moving(first, 'rbd:rbd/again');
    first.process.kill('SIGKILL');
    await Promise.all([ended, first.exited]);
    first.stranger.close();
    const second = await start('again');
    await nothingLeft();
    await second.stop();
  });

  it('another host removes what a daemon left that does not come back', async () => {
    const first = await start('gone');
    const { ended } = await moving(first, 'rbd:rbd/gone');
    first.process.kill('SIGKILL');
    await Promise.all([ended, first.exited]);
    first.stranger.close();
    const other = await start('other');
    await nothingLeft();
    await other.stop();
  });

  it('an OSD that stops in the middle of a copy: STALLED, nothing is left, and the same request succeeds later', async () => {
    const { ended } = await moving(daemon, 'rbd:rbd/stalled');
    await cluster.stopOsd();
    assert.match(String(await ended), /no progress/);
    await cluster.startOsd();
    const again = { ...slowCopy('rbd:rbd/stalled'), bandwidth_bytes_per_second: undefined, verify: true };
    // The name stays taken until the removal of the half-made image has got its answer from the OSD.
    await until(() =>
      run('CopyImage', again).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof CallError) || error.reason !== 'PATH_BUSY') throw error;
          return false;
        },
      ),
    );
    await nothingLeft();
  });

  const ratios = async (near: string, full: string) => {
    await cluster.ceph('osd', 'set-nearfull-ratio', near);
    await cluster.ceph('osd', 'set-backfillfull-ratio', near);
    await cluster.ceph('osd', 'set-full-ratio', full);
  };
  /** As long as `work` takes; the monitor counts anew when the manager reports. */
  async function whileFull(work: () => Promise<void>): Promise<void> {
    const free = async () =>
      Number((await daemon.stranger.unary('HostInfoService/GetPoolInfo', { pool: 'rbd' }))['free_bytes'] ?? 0);
    await ratios('0.009', '0.01');
    try {
      await until(async () => (await free()) === 0);
      await work();
    } finally {
      await ratios('0.85', '0.95');
      await until(async () => (await free()) > 0);
    }
    await nothingLeft();
  }

  it('a full pool takes nothing more: NO_SPACE before any byte is written', () =>
    whileFull(async () => {
      const copy = run('CopyImage', { source: file('disk.raw'), target: 'rbd:rbd/full' });
      assert.equal((await failure(copy)).reason, 'NO_SPACE');
    }));

  it('a pool that fills up in the middle of a copy: it ends, and nothing is left', async () => {
    // The monitor takes its time to call a pool full.
    const { ended } = await moving(daemon, 'rbd:rbd/filled', SLOW / 4);
    await whileFull(async () => {
      assert.match(String(await ended), /no progress|NO_SPACE|space/i);
    });
  });
});
