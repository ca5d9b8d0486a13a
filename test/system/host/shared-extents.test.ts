/** What is written over where it is takes room when a clone shares it: the last bytes stay free. */
import assert from 'node:assert/strict';
import { statfsSync } from 'node:fs';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure } from '../../support/stranger.js';

const MIB = 1 << 20;
/** Free before each test, of which the last are to stay free; and the length of what is written. */
const [FREE_MIB, OVERHEAD_MIB, LENGTH_MIB] = [72, 48, 64];
/** Tables of the filesystem itself, which grow with every extent. */
const TABLES_MIB = 2;
const PIECE = Buffer.alloc(MIB / 4, 'content');

for (const [type, mkfs] of [
  ['xfs', ['mkfs.xfs', '-q', '-m', 'reflink=1']],
  ['btrfs', ['mkfs.btrfs', '-q', '--mixed']],
] as const)
  describe(`what is written in place on ${type}`, function () {
    this.timeout(60_000);
    const scratch = scratchFolder();
    let daemon: Daemon;
    const images = () => scratch.path('daemon', 'images');
    const [base, disk, filler] = ['base', 'disk', 'filler'].map((name) => () => join(images(), name)) as [
      () => string,
      () => string,
      () => string,
    ];
    const freeBytes = () => statfsSync(images()).bavail * statfsSync(images()).bsize;

    before(async function () {
      needs(this, isRoot, 'needs root to mount');
      needs(this, installed(mkfs[0]), `${mkfs[0]} is not installed`);
      await sh('truncate', '-s', '512M', scratch.path('device'));
      await sh(mkfs[0], ...mkfs.slice(1), scratch.path('device'));
      await mkdir(images(), { recursive: true });
      const mounted = await tryRun('mount', ['-o', 'loop', scratch.path('device'), images()]);
      needs(this, mounted.code === 0, `${type} cannot be mounted on a loop device here: ${mounted.stderr.trim()}`);
      scratch.onEnd(() => sh('umount', images()));
      daemon = await Daemon.start(scratch.path('daemon'), {
        toml: `[limits]\nspace_overhead_bytes = ${String(OVERHEAD_MIB * MIB)}\n`,
      });
      scratch.onEnd(() => daemon.stop());
    });

    const own = () => writeFile(disk(), noise(LENGTH_MIB * MIB));
    /** What `disk` is when the disk is nearly full. */
    const KINDS = {
      own,
      'own, with holes': async () => {
        await own();
        await sh('fallocate', '--punch-hole', '-o', '8M', '-l', '48M', disk());
      },
      unwritten: () => sh('fallocate', '-l', `${String(LENGTH_MIB)}M`, disk()),
      holes: () => writeFile(disk(), '').then(() => truncate(disk(), LENGTH_MIB * MIB)),
      shared: () => own().then(() => sh('cp', '--reflink=always', disk(), base())),
      'shared at its end': async () => {
        await own();
        await sh('cp', '--reflink=always', disk(), base());
        await sh('dd', 'if=/dev/urandom', `of=${disk()}`, 'bs=1M', 'count=20', 'conv=notrunc,fsync', 'status=none');
      },
    };
    const made = async (kind: keyof typeof KINDS) => {
      for (const path of [base(), disk(), filler()]) await rm(path, { force: true });
      await sh('sync', '-f', images());
      await KINDS[kind]();
      await sh('sync', '-f', images());
      await sh('fallocate', '-l', String(freeBytes() - FREE_MIB * MIB), filler());
      await sh('sync', '-f', images());
    };
    const WORK = {
      WriteFile: () =>
        daemon.stranger.send('FileService/WriteFile', [
          { header: { path: disk(), offset: '0' } },
          ...Array.from({ length: 4 * LENGTH_MIB }, () => ({ data: PIECE })),
        ]),
      WipeImage: () =>
        daemon.stranger.operation('ImageService/WipeImage', {
          path: disk(),
          format: 'raw',
          mode: 'WIPE_MODE_ZERO',
          allow_dependants: true,
        }),
    };
    const refused: [keyof typeof WORK, keyof typeof KINDS][] = [
      ['WriteFile', 'shared'],
      ['WriteFile', 'shared at its end'],
      ['WriteFile', 'holes'],
      ['WipeImage', 'shared'],
    ];
    for (const [rpc, kind] of refused)
      it(`${rpc} over ${kind}: the last bytes stay free`, async () => {
        await made(kind);
        let least = freeBytes();
        const watch = setInterval(() => (least = Math.min(least, freeBytes())), 2);
        const error = await failure(WORK[rpc]())
          .finally(() => sh('sync', '-f', images()))
          .finally(() => {
            clearInterval(watch);
          });
        least = Math.min(least, freeBytes());
        assert.equal(error.reason, 'NO_SPACE', error.message);
        assert.notEqual(error.metadata['needed'], undefined, 'it was refused, the disk was not full');
        assert.ok(least >= (OVERHEAD_MIB - TABLES_MIB) * MIB, `${String(least)} bytes were free`);
      });

    const done: [keyof typeof WORK, keyof typeof KINDS][] = [
      ['WriteFile', 'own'],
      ['WriteFile', 'unwritten'],
      ['WipeImage', 'own'],
      // Holes are zeros, and stay holes.
      ['WipeImage', 'own, with holes'],
      ['WipeImage', 'holes'],
    ];
    for (const [rpc, kind] of done)
      it(`${rpc} over ${kind} needs no more room`, async () => {
        await made(kind);
        await WORK[rpc]();
      });
  });
