/**
 * Roots whose disk fails: every call is an error, and none of them costs the daemon anything that
 * stays.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { scratchFolder, type Scratch } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { CallError, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const SIZE = 320 << 20;

/** Mounts it; what makes it fail from then on. */
type Mount = (context: Mocha.Context, scratch: Scratch, at: string) => Promise<() => Promise<unknown>>;

const ROOTS: Record<string, Mount> = {
  'answers EIO (an XFS that was shut down)': async (context, scratch, at) => {
    needs(context, isRoot && installed('mkfs.xfs') && installed('xfs_io'), 'needs root, mkfs.xfs and xfs_io');
    const file = scratch.path('xfs.img');
    await sh('truncate', '-s', String(SIZE), file);
    await sh('mkfs.xfs', '-q', file);
    await mkdir(at);
    const mounted = await tryRun('mount', ['-o', 'loop', file, at]);
    needs(context, mounted.code === 0, `no loop mount here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', at));
    return () => sh('xfs_io', '-x', '-c', 'shutdown', at);
  },
  'is not connected (its FUSE server has died)': async (context, scratch, at) => {
    await mountSshfs(context, scratch, at);
    const pid = (await sh('pgrep', '-f', `sshfs.*${at}$`)).trim().split('\n')[0] ?? '';
    return () => Promise.resolve(process.kill(Number(pid), 'SIGKILL'));
  },
  'has been unmounted under it': async (context, scratch, at) => {
    needs(context, isRoot, 'needs root');
    await mkdir(at);
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'none', at]);
    needs(context, mounted.code === 0, `no tmpfs here: ${mounted.stderr.trim()}`);
    let there = true;
    scratch.onEnd(() => (there ? sh('umount', at) : Promise.resolve()));
    return async () => {
      there = false;
      await sh('umount', '-l', at);
    };
  },
};

describe('a root that', () => {
  for (const [what, mount] of Object.entries(ROOTS))
    describe(what, () => {
      const scratch = scratchFolder();
      let daemon: Daemon;
      let fail: () => Promise<unknown>;
      const far = (name: string) => scratch.path('far', name);
      const image = { path: '', format: 'raw' };

      before(async function () {
        fail = await mount(this, scratch, scratch.path('far'));
        await writeFile(far('a.raw'), noise(1 << 20));
        await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', far('a.raw'), '-F', 'raw', far('o.qcow2'));
        await mkdir(far('folder'));
        await sh('ln', '-s', 'a.raw', far('link'));
        const folder = scratch.path('d');
        daemon = await Daemon.start(folder, {
          roots: [`${folder}/images`, scratch.path('far')].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
        });
        scratch.onEnd(() => daemon.stop());
        await writeFile(daemon.image('near.raw'), noise(1 << 20));
        image.path = far('a.raw');
      });

      const rpcs = (): readonly (readonly [string, () => Promise<unknown>])[] => {
        const { stranger } = daemon;
        const op = (rpc: string, request: Message) =>
          [rpc, () => stranger.all(`ImageService/${rpc}`, request)] as const;
        const one = (rpc: string, request: Message) => [rpc, () => stranger.unary(rpc, request)] as const;
        const moves = { source: far('a.raw'), source_format: 'raw', target: daemon.image('t'), target_format: 'qcow2' };
        return [
          one('ImageService/GetImageInfo', image),
          one('ImageService/GetImageInfo', { path: far('o.qcow2'), format: 'qcow2', backing_chain: true }),
          one('ImageService/GetImageInfo', { path: far('link'), format: 'raw' }),
          one('ImageService/GetImageInfo', { path: far('folder/../a.raw').replace('folder/../', ''), format: 'raw' }),
          one('ImageService/DetectDiskType', { path: far('a.raw') }),
          one('ImageService/MeasureImage', { ...image, target_format: 'qcow2' }),
          one('ImageService/ListSnapshots', { path: far('o.qcow2'), format: 'qcow2' }),
          op('MapImage', image),
          op('CreateImage', { path: far('n.raw'), format: 'raw', size: '1M' }),
          op('CreateOverlay', { path: far('n.qcow2'), backing_file: far('a.raw'), backing_format: 'raw' }),
          op('ConvertImage', moves),
          op('ConvertImage', { ...moves, source: daemon.image('near.raw'), target: far('n.qcow2') }),
          op('CopyImage', { source: far('a.raw'), target: daemon.image('t') }),
          op('CopyImage', { source: daemon.image('near.raw'), target: far('n.raw') }),
          op('ResizeImage', { ...image, virtual_size_bytes: '2097152' }),
          op('DigestImage', image),
          op('CheckImage', { path: far('o.qcow2'), format: 'qcow2' }),
          op('WipeImage', { ...image, mode: 'WIPE_MODE_ZERO' }),
          op('DeleteImage', { path: far('a.raw') }),
          op('DeleteImage', { path: far('n.raw'), missing_ok: true }),
          one('ImageService/StartUpload', { target: far('u'), format: 'raw', length_bytes: '512' }),
          one('ImageService/OpenExport', { path: far('a.raw') }),
          op('DownloadImage', { path: far('a.raw') }),
          one('FileService/StatFile', { path: far('a.raw') }),
          one('FileService/StatFile', { path: scratch.path('far') }),
          one('FileService/TouchFile', { path: far('a.raw') }),
          one('FileService/DeleteFile', { path: far('a.raw') }),
          ['Chown', () => stranger.all('FileService/Chown', { path: far('folder'), owner: '1', recursive: true })],
          ['ReadFile', () => stranger.all('FileService/ReadFile', { path: far('a.raw') })],
          [
            'WriteFile',
            () => stranger.send('FileService/WriteFile', [{ header: { path: far('w') } }, { data: Buffer.from('x') }]),
          ],
          one('HostInfoService/GetFilesystemInfo', { path: far('a.raw') }),
          one('HostInfoService/GetHostInfo', {}),
        ];
      };

      it('no call leaves a descriptor open, and none is a BUG', async function () {
        this.timeout(60_000);
        await fail();
        const count = () => readdirSync(`/proc/${String(daemon.process.pid)}/fd`).length;
        const ask = async (work: () => Promise<unknown>): Promise<string> => {
          try {
            await work();
            return 'OK';
          } catch (error) {
            assert.ok(error instanceof CallError);
            return error.reason;
          }
        };
        // Once for what is opened the first time and kept, such as threads.
        for (const [, work] of rpcs()) await ask(work);
        for (const [rpc, work] of rpcs()) {
          const before = count();
          const reasons: string[] = [];
          for (let n = 0; n < 6; n++) reasons.push(await ask(work));
          assert.ok(!reasons.includes('BUG'), `${rpc}: ${reasons.join(' ')}\n${daemon.log.slice(-2000)}`);
          await until(() => count() < before + 3, 3000).catch(() => {
            assert.fail(
              `${rpc} (${reasons.join(' ')}): ${String(before)} descriptors before, ${String(count())} after`,
            );
          });
        }
      });
    });
});
