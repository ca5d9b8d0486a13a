/** What grows without a known end leaves the last bytes of its filesystem free. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { Daemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const [DISK_MIB, OVERHEAD_MIB, CONTENT_MIB] = [64, 8, 200];
const PIECE = Buffer.alloc(MIB, 'content');

describe('what grows on a small disk', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let url = '';
  const images = () => scratch.path('daemon', 'images');
  const freeBytes = () => statfsSync(images()).bavail * statfsSync(images()).bsize;
  const bomb = gzipSync(Buffer.alloc(CONTENT_MIB * MIB, 'bomb'));

  before(async function () {
    needs(this, isRoot, 'needs root to mount');
    await mkdir(images(), { recursive: true });
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', `size=${String(DISK_MIB)}m`, 'tmpfs', images()]);
    needs(this, mounted.code === 0, `a tmpfs cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', images()));
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `[limits]\nspace_overhead_bytes = ${String(OVERHEAD_MIB * MIB)}\n[fetch]\nattempts = 1\n`,
    });
    scratch.onEnd(() => daemon.stop());
    const server = createServer((request, response) => {
      if (request.url === '/bomb') response.end(bomb);
      // The daemon leaves first.
      else Readable.from(Array.from({ length: CONTENT_MIB }, () => PIECE)).pipe(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scratch.onEnd(() => {
      server.closeAllConnections();
      server.close();
      return Promise.resolve();
    });
    url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  });

  /** The least that was free while it ran. */
  const leastFree = async (work: Promise<unknown>): Promise<number> => {
    let least = freeBytes();
    const watch = setInterval(() => (least = Math.min(least, freeBytes())), 2);
    try {
      const error = await failure(work);
      assert.equal(error.reason, 'NO_SPACE', error.message);
      assert.notEqual(error.metadata['needed'], undefined, 'it was refused, the disk was not full');
    } finally {
      clearInterval(watch);
    }
    return least;
  };
  const fetch = (rpc: string, path: string) =>
    daemon.stranger.operation(`ImageService/${rpc}`, {
      source: { http: { url: `${url}${path}` } },
      target: join(images(), 'target'),
    });
  const file = (header: object) =>
    daemon.stranger.send('FileService/WriteFile', [
      { header: { path: join(images(), 'file'), ...header } },
      ...Array.from({ length: CONTENT_MIB }, () => ({ data: PIECE.subarray(0, MIB / 4) })),
      ...Array.from({ length: CONTENT_MIB }, () => ({ data: PIECE.subarray(0, MIB / 4) })),
    ]);

  /** An upload whose caller announces one byte of data. */
  const upload = async (pieces: readonly Message[]) => {
    const length_bytes = String(CONTENT_MIB * MIB);
    const request = { target: join(images(), 'target'), format: 'raw', length_bytes, data_bytes: '1' };
    const { upload_id } = await daemon.stranger.unary('ImageService/StartUpload', request);
    try {
      return await daemon.stranger.send('ImageService/UploadImage', [
        { header: { upload_id, offset: '0' } },
        ...pieces,
      ]);
    } finally {
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id: upload_id });
    }
  };
  /** Written over a file that is longer than what is written, with holes. */
  const intoHoles = async (from: number) => {
    await truncate(join(images(), 'file'), 4 * CONTENT_MIB * MIB);
    return file({ offset: String(from) });
  };
  const oneByteABlock = Array.from({ length: 20_000 }, () => [{ data: PIECE.subarray(0, 1) }, { zero_bytes: '4095' }]);

  const cases: [string, () => Promise<unknown>][] = [
    ['what is packed', () => fetch('FetchImage', '/bomb')],
    ['a body without a length, for an image', () => fetch('FetchImage', '/pieces')],
    ['a body without a length, as it comes', () => fetch('FetchRawImage', '/pieces')],
    ['a file that is written', () => file({})],
    ['a file that is written on', () => file({ append: true })],
    ['a file with holes that is written over', () => intoHoles(0)],
    ['a file with holes that is written over behind its beginning', () => intoHoles(MIB + 1)],
    ['an upload of more data than was announced', () => upload(Array.from({ length: 100 }, () => ({ data: PIECE })))],
    ['an upload of a byte in each block', () => upload(oneByteABlock.flat())],
  ];
  for (const [title, work] of cases)
    it(title, async () => {
      await writeFile(join(images(), 'file'), '');
      const least = await leastFree(work());
      assert.ok(least >= OVERHEAD_MIB * MIB, `${String(least)} bytes were free`);
      assert.ok(
        freeBytes() > (DISK_MIB / 2) * MIB ||
          title.startsWith('a file that is written on') ||
          title.startsWith('a file with holes'),
      );
    });

  it('what is there is written over on a full disk', async () => {
    await writeFile(join(images(), 'file'), Buffer.alloc((DISK_MIB - OVERHEAD_MIB) * MIB, 1));
    const header = { path: join(images(), 'file'), offset: '0' };
    await daemon.stranger.send('FileService/WriteFile', [{ header }, { data: PIECE.subarray(0, MIB / 4) }]);
  });
  it('an upload as announced comes in, to the last byte that it may take', async () => {
    await writeFile(join(images(), 'file'), '');
    const bytes = Buffer.concat(Array.from({ length: DISK_MIB - OVERHEAD_MIB - 1 }, () => PIECE));
    const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') };
    const [target, length_bytes] = [join(images(), 'announced'), String(bytes.length)];
    const request = { target, format: 'raw', length_bytes, data_bytes: length_bytes, checksum };
    const { upload_id } = await daemon.stranger.unary('ImageService/StartUpload', request);
    const pieces = Array.from({ length: bytes.length / MIB }, () => ({ data: PIECE }));
    await daemon.stranger.send('ImageService/UploadImage', [{ header: { upload_id, offset: '0' } }, ...pieces]);
    assert.ok((await readFile(target)).equals(bytes));
    await rm(target);
  });
  it('what fits comes in', async () => {
    await writeFile(join(images(), 'file'), '');
    const small = Array.from({ length: 80 }, () => ({ data: PIECE.subarray(0, MIB / 4) }));
    await daemon.stranger.send('FileService/WriteFile', [{ header: { path: join(images(), 'file') } }, ...small]);
  });
});
