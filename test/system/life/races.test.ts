/**
 * A folder that is swapped for a link out of the root all the time, while files are changed through
 * it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { isRoot } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError } from '../../support/stranger.js';

const OPERATIONS = Number(process.env['RACE'] ?? '10000');
const IN_FLIGHT = 32;
const NAMES = 40;
/**
 * What may come of it: it was there, it was a link, it was gone, or somebody else was at it. Never
 * an internal error.
 */
const FINE = [
  'OK',
  'PATH_OUTSIDE_ROOTS',
  'FILE_NOT_FOUND',
  'IMAGE_NOT_FOUND',
  'PARENT_NOT_FOUND',
  'PATH_BUSY',
  'SOURCE_CHANGED',
  'TARGET_EXISTS',
];

describe('races', function () {
  this.timeout(15 * 60_000);
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const swapped = (name: string) => daemon.get().image(`swapped/${name}`);
  const outside = (name = '') => scratch.path('outside', name);
  const image = (n: number) => `disk-${String(n % NAMES)}`;

  /** Everything about what no operation may reach. */
  const everythingOutside = async () => {
    const names = (await readdir(outside())).sort();
    const files = await Promise.all(
      names.map(async (name) => {
        const { ino, uid, gid, mode, mtimeMs, ctimeMs, size } = await stat(outside(name));
        return { name, ino, uid, gid, mode, mtimeMs, ctimeMs, size, content: await readFile(outside(name), 'hex') };
      }),
    );
    const { uid, gid, mode, mtimeMs, ctimeMs } = await stat(outside());
    return { files, folder: { uid, gid, mode, mtimeMs, ctimeMs } };
  };

  const oneOperation = async (n: number): Promise<unknown> => {
    const { stranger } = daemon.get();
    const path = swapped(image(n));
    const kind = n % 50;
    const owner = isRoot ? String(10_000 + (n % 7)) : String(process.getuid?.());
    if (kind === 0)
      return stranger.operation('ImageService/ConvertImage', {
        source: n % 100 === 0 ? path : daemon.get().image('base.raw'),
        source_format: 'raw',
        target: swapped(`converted-${String(n % NAMES)}`),
        target_format: 'qcow2',
        overwrite: true,
      });
    if (kind < 20) return stranger.all('FileService/Chown', { path, owner, recursive: false });
    if (kind < 37) return stranger.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.alloc(64, n) }]);
    return stranger.unary('FileService/DeleteFile', { path: swapped(image(n + 7)), missing_ok: true });
  };

  it(`${String(OPERATIONS)} chowns, writes, deletes and converts through it change nothing outside`, async () => {
    for (const folder of [outside(), swapped('')]) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
    }
    await writeFile(daemon.get().image('base.raw'), noise(1 << 16));
    for (let n = 0; n < NAMES; n++) {
      await writeFile(outside(image(n)), `precious ${String(n)}`);
      await writeFile(outside(`converted-${String(n)}`), `precious too ${String(n)}`);
      await writeFile(swapped(image(n)), noise(512, n));
    }
    const before = await everythingOutside();
    const script = fileURLToPath(new URL('../../support/faults/swapper.js', import.meta.url));
    const swapper = spawn(process.execPath, [script, swapped('').slice(0, -1), outside().replace(/\/$/, '')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let swaps = '';
    swapper.stdout.on('data', (chunk: Buffer) => (swaps += chunk.toString()));
    const ends = new Map<string, number>();
    let next = 0;
    const worker = async () => {
      for (let n = next++; n < OPERATIONS; n = next++) {
        const end = await oneOperation(n).then(
          () => 'OK',
          (error: unknown) => (error instanceof CallError ? error.reason : String(error)),
        );
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    try {
      await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    } finally {
      swapper.stdin.end();
      await once(swapper, 'close');
    }
    process.stdout.write(`      ${swaps} swaps; ends: ${JSON.stringify(Object.fromEntries(ends))}\n`);
    assert.deepEqual(await everythingOutside(), before);
    assert.deepEqual(
      [...ends.keys()].filter((end) => !FINE.includes(end)),
      [],
    );
    for (const seen of ['OK', 'PATH_OUTSIDE_ROOTS']) assert.ok((ends.get(seen) ?? 0) > 0, `${seen} was never seen`);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
});
