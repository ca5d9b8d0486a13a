/**
 * A filesystem that stops answering, such as a dead network mount, costs its own callers and nobody
 * else.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { Daemon, HOSTLER } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { failure, type Message } from '../../support/stranger.js';
import { tryRun } from '../../support/shell.js';
import { until } from '../../support/until.js';

describe('a root that does not answer', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let server = 0;
  const far = (name: string) => scratch.path('far', name);
  const info = (path: string) => daemon.stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' });

  before(async function () {
    this.timeout(30_000);
    server = await mountSshfs(this, scratch, scratch.path('far'));
    await writeFile(far('disk.raw'), noise(1 << 20));
    const folder = scratch.path('daemon');
    daemon = await Daemon.start(folder, {
      toml: '[limits]\nroot_patience_ms = 2000\n',
      roots: [`${folder}/images`, scratch.path('far')].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
    await writeFile(daemon.image('near.raw'), noise(1 << 20));
    // The last one given runs first: a stopped server would keep the daemon and the unmount
    // waiting.
    scratch.onEnd(() => daemon.stop());
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
  });

  /** While it stalls. */
  const theOtherServices = async () => {
    const { stranger } = daemon;
    const write = [{ header: { path: far('written') } }, { data: Buffer.from('x') }];
    const stalled = [
      stranger.unary('FileService/StatFile', { path: far('disk.raw') }),
      stranger.unary('FileService/TouchFile', { path: far('disk.raw') }),
      stranger.unary('FileService/DeleteFile', { path: far('disk.raw'), missing_ok: true }),
      stranger.all('FileService/ReadFile', { path: far('disk.raw') }),
      stranger.all('FileService/Chown', { path: far('disk.raw'), owner: '1', recursive: true }),
      stranger.send('FileService/WriteFile', write),
      stranger.unary('HostInfoService/GetFilesystemInfo', { path: far('disk.raw') }),
      stranger.all('HostInfoService/WatchFilesystem', { path: scratch.path('far') }),
    ];
    for (const call of await Promise.all(stalled.map(failure))) assert.equal(call.reason, 'ROOT_STALLED');
    const { roots } = (await stranger.unary('HostInfoService/GetHostInfo')) as { roots: Message[] };
    assert.deepEqual(
      roots.map(({ problem = '', sparse }) => [problem, sparse]),
      [
        ['', true],
        ['ROOT_STALLED', undefined],
      ],
    );
    const { stdout: picture } = await tryRun(HOSTLER, ['--address', daemon.address, 'top', '--once']);
    assert.match(picture, /, 0 queued {2}1 root stalled {2}/);
    assert.match(picture, new RegExp(`PRESSURE +ROOT\\n +ROOT_STALLED +${scratch.path('far')}\\n`));
    // Whether something there is backed by it nobody can tell now: who removes it all the same has
    // to say so.
    await stranger.operation('ImageService/DeleteImage', { path: daemon.image('near.qcow2'), allow_dependants: true });
    const { exists } = await stranger.unary('FileService/StatFile', { path: daemon.image('near.raw') });
    assert.equal(exists, true);
  };

  it('answers ROOT_STALLED in time, others are served, and it works again when the filesystem does', async () => {
    await info(far('disk.raw'));
    process.kill(server, 'SIGSTOP');
    // One after the other they would take longer than a test may take.
    const errors = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        failure(
          n % 2 === 0
            ? info(far(`new-${String(n)}.raw`))
            : daemon.stranger.all('ImageService/CreateImage', {
                path: far(`t${String(n)}`),
                format: 'raw',
                size: '1M',
              }),
        ),
      ),
    );
    assert.deepEqual([...new Set(errors.map(({ reason }) => reason))], ['ROOT_STALLED']);
    assert.equal(errors[0]?.code, status.UNAVAILABLE);
    // The pool has threads left for the other root: reading, converting, deleting.
    await info(daemon.image('near.raw'));
    await daemon.stranger.operation('ImageService/ConvertImage', {
      source: daemon.image('near.raw'),
      source_format: 'raw',
      target: daemon.image('near.qcow2'),
      target_format: 'qcow2',
    });
    assert.equal((await failure(info(far('again.raw')))).reason, 'ROOT_STALLED');
    await theOtherServices();
    process.kill(server, 'SIGCONT');
    await until(async () => {
      const { reason } = await failure(info(far('missing.raw')));
      assert.ok(['IMAGE_NOT_FOUND', 'ROOT_STALLED'].includes(reason), reason);
      return reason === 'IMAGE_NOT_FOUND';
    });
    await daemon.stranger.operation('ImageService/CreateImage', { path: far('made.raw'), format: 'raw', size: '1M' });
  });
});
