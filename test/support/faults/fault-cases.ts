/**
 * Every verb that touches files, with what it needs and what it promises, on a disk with faults.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Daemon } from '../daemon.js';
import { noise } from '../images/disks.js';
import type { FaultFilesystem } from './fault-filesystem.js';
import { folderFaultCases } from './folder-fault-cases.js';
import type { FaultCase } from './nth-call.js';
import { isOfQcow2, plainChanges, requestOn } from '../reasons/work.js';
import { sh } from '../shell.js';
import type { Message } from '../stranger.js';

const SIZE = 1 << 20;
const CONTENT = noise(300_000);
const OTHER_OWNER = '1';
const SHIFT = 100_000;

/** What cases are made of; the files beside the disk are made once. */
export interface Bench {
  readonly daemon: () => Daemon;
  readonly disk: () => FaultFilesystem;
  /** A folder that does not fail. */
  readonly stock: () => string;
  readonly url: () => string;
}

/** Serves the stock's files. */
export async function serveStock(stock: string): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    void readFile(join(stock, request.url ?? '')).then((body) => {
      const tag = `"${createHash('sha256').update(body).digest('hex')}"`;
      response.setHeader('etag', tag);
      if (request.headers['if-none-match'] === tag) response.writeHead(304).end();
      else response.writeHead(200, { 'content-length': body.length }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, server };
}

/**
 * `disk.raw`, `disk.qcow2` and the larger `large.qcow2` with the same content, `base.qcow2` with
 * other content, `overlay.qcow2` of `disk.raw`'s size.
 */
export async function fillStock(stock: string): Promise<void> {
  const disk = Buffer.alloc(SIZE);
  CONTENT.copy(disk, 65_536);
  await writeFile(join(stock, 'disk.raw'), disk);
  await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', join(stock, 'disk.raw'), join(stock, 'disk.qcow2'));
  const large = ['-f', 'raw', '-O', 'qcow2', '-o', 'cluster_size=2M'];
  await sh('qemu-img', 'convert', ...large, join(stock, 'disk.raw'), join(stock, 'large.qcow2'));
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(stock, 'empty.qcow2'), String(SIZE));
  await copyFile(join(stock, 'disk.qcow2'), join(stock, 'snapshots.qcow2'));
  await sh('qemu-img', 'snapshot', '-c', 'one', join(stock, 'snapshots.qcow2'));
}

export function faultCases({ daemon, disk, stock, url }: Bench): FaultCase[] {
  const at = (name: string) => join(disk().path, name);
  const behind = (name: string) => join(disk().behind, name);
  const run = (rpc: string, request: Message) => daemon().stranger.operation(`ImageService/${rpc}`, request);
  const put = (from: string, name = from) => copyFile(join(stock(), from), behind(name));
  const sameGuest = (name: string, format: string) =>
    sh('qemu-img', 'compare', '-U', '-f', format, '-F', 'raw', behind(name), join(stock(), 'disk.raw'));
  const sameFile = async (name: string, from: string) => {
    assert.ok((await readFile(behind(name))).equals(await readFile(join(stock(), from))), `${name} is not ${from}`);
  };
  const nothing = () => Promise.resolve();
  const sound = (name: string) => sh('qemu-img', 'check', '-q', '-f', 'qcow2', behind(name));
  const overlay = async () => {
    await put('disk.qcow2', 'bottom');
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-u',
      '-f',
      'qcow2',
      '-F',
      'qcow2',
      '-b',
      at('bottom'),
      behind('top'),
      String(SIZE),
    );
  };
  /** A new file that is as it should be, or is not there: no name, no half of one. */
  const made = (name: string, format = 'raw') => ({
    done: () => sameGuest(name, format),
    failed: () => assert.rejects(stat(behind(name)), /ENOENT/),
  });
  /** One that replaced another, or left it as it was. */
  const replaced = (name: string, format = 'raw') => ({
    done: () => sameGuest(name, format),
    failed: async () => assert.equal(await readFile(behind(name), 'utf8'), 'old'),
  });
  const old = (name: string) => writeFile(behind(name), 'old');
  const source = (name: string) => ({ http: { url: `${url()}/${name}` } });
  const write = (header: Message) => daemon().stranger.send('FileService/WriteFile', [{ header }, { data: CONTENT }]);
  const written = async (name: string) => {
    assert.ok((await readFile(behind(name))).equals(CONTENT), `${name} is not what was written`);
  };

  /** The good request of a change in place: it keeps what guests see. */
  const changeCase = (rpc: string): FaultCase => ({
    name: rpc,
    prepare: () => put(isOfQcow2(rpc) ? 'snapshots.qcow2' : 'disk.raw', 'image'),
    call: () => run(rpc, requestOn(rpc, at('image'))),
    done: () => sameGuest('image', isOfQcow2(rpc) ? 'qcow2' : 'raw'),
    ...exceptions[rpc],
  });
  const exceptions: Readonly<Record<string, Partial<FaultCase>>> = {
    CreateSnapshot: { again: ['SNAPSHOT_EXISTS'] },
    DeleteSnapshot: { again: ['SNAPSHOT_NOT_FOUND'] },
    WipeImage: {
      done: async () => assert.ok((await readFile(behind('image'))).equals(Buffer.alloc(SIZE)), 'it is not wiped'),
    },
  };

  return [
    {
      name: 'CreateImage',
      prepare: nothing,
      call: () => run('CreateImage', { path: at('new'), format: 'qcow2', size: '1M' }),
      done: () => sound('new'),
      failed: made('new').failed,
    },
    {
      name: 'CreateImage, preallocated',
      prepare: nothing,
      call: () =>
        run('CreateImage', { path: at('new'), format: 'raw', size: '1M', preallocation: 'PREALLOCATION_FALLOC' }),
      done: async () => assert.equal((await stat(behind('new'))).size, SIZE),
      failed: made('new').failed,
    },
    {
      name: 'CreateOverlay',
      prepare: () => put('disk.qcow2', 'bottom'),
      call: () => run('CreateOverlay', { path: at('new'), backing_file: at('bottom'), backing_format: 'qcow2' }),
      done: () => stat(behind('new')),
      failed: made('new').failed,
    },
    {
      name: 'ConvertImage',
      prepare: () => put('disk.qcow2', 'source'),
      call: () =>
        run('ConvertImage', { source: at('source'), source_format: 'qcow2', target: at('new'), target_format: 'raw' }),
      ...made('new'),
    },
    {
      name: 'ConvertImage over something',
      prepare: () => Promise.all([put('disk.raw', 'source'), old('old')]),
      call: () =>
        run('ConvertImage', {
          source: at('source'),
          source_format: 'raw',
          target: at('old'),
          target_format: 'qcow2',
          overwrite: true,
        }),
      ...replaced('old', 'qcow2'),
    },
    {
      name: 'ExtractSnapshot',
      prepare: () => put('snapshots.qcow2', 'source'),
      call: () =>
        run('ExtractSnapshot', {
          path: at('source'),
          source_format: 'qcow2',
          target: at('new'),
          target_format: 'qcow2',
          snapshot: 'one',
        }),
      ...made('new', 'qcow2'),
    },
    {
      name: 'CopyImage',
      prepare: () => put('disk.raw', 'source'),
      call: () => run('CopyImage', { source: at('source'), target: at('new'), verify: true }),
      ...made('new'),
    },
    {
      name: 'CopyImage over something',
      prepare: () => Promise.all([put('disk.raw', 'source'), old('old')]),
      call: () => run('CopyImage', { source: at('source'), target: at('old'), overwrite: true }),
      ...replaced('old'),
    },
    {
      name: 'FetchImage',
      prepare: nothing,
      call: () => run('FetchImage', { source: source('disk.qcow2'), target: at('new'), target_format: 'raw' }),
      ...made('new'),
    },
    {
      name: 'FetchImage of a file that is converted while it arrives',
      prepare: nothing,
      call: () => run('FetchImage', { source: source('large.qcow2'), target: at('new'), target_format: 'raw' }),
      ...made('new'),
    },
    {
      name: 'FetchRawImage',
      prepare: nothing,
      call: () => run('FetchRawImage', { source: source('disk.raw'), target: at('new') }),
      ...made('new'),
    },
    {
      name: 'UploadImage',
      prepare: nothing,
      call: async () => {
        const { stranger } = daemon();
        const data = await readFile(join(stock(), 'disk.raw'));
        const request = { target: at('new'), format: 'raw', length_bytes: String(data.length) };
        const { upload_id: id } = await stranger.unary('ImageService/StartUpload', request);
        const digest = createHash('sha256').update(data).digest('hex');
        try {
          await stranger.send('ImageService/UploadImage', [
            { header: { upload_id: id, offset: '0' } },
            ...[0, 1, 2, 3].map((piece) => ({ data: data.subarray(piece << 18, (piece + 1) << 18) })),
            { checksum: { algorithm: 'sha256', digest } },
          ]);
        } catch (error) {
          // One that can go on is open still; these callers do not want it.
          await stranger.unary('OperationService/CancelOperation', { operation_id: id }).catch(() => undefined);
          throw error;
        }
      },
      ...made('new'),
    },
    {
      name: 'DownloadImage',
      prepare: () => put('disk.raw', 'source'),
      call: () => daemon().stranger.all('ImageService/DownloadImage', { path: at('source') }),
      done: () => sameFile('source', 'disk.raw'),
    },
    {
      name: 'DigestImage',
      prepare: () => put('disk.raw', 'source'),
      call: () => run('DigestImage', { path: at('source'), format: 'raw' }),
      done: () => sameFile('source', 'disk.raw'),
    },
    {
      name: 'ResizeImage',
      prepare: () => put('disk.qcow2', 'image'),
      call: () => run('ResizeImage', { path: at('image'), format: 'qcow2', size: '2M' }),
      done: () => sound('image'),
    },
    {
      name: 'RebaseImage',
      prepare: overlay,
      call: () => run('RebaseImage', { path: at('top'), format: 'qcow2' }),
      done: () => sameGuest('top', 'qcow2'),
    },
    {
      name: 'CommitImage',
      prepare: overlay,
      call: () => run('CommitImage', { path: at('top'), format: 'qcow2' }),
      done: () => sameGuest('bottom', 'qcow2'),
    },
    {
      name: 'CheckImage',
      prepare: () => put('disk.qcow2', 'image'),
      call: () => run('CheckImage', { path: at('image'), format: 'qcow2' }),
      done: () => sound('image'),
    },
    ...plainChanges().map(changeCase),
    {
      name: 'DeleteImage',
      prepare: () => put('disk.raw', 'image'),
      call: () => run('DeleteImage', { path: at('image'), missing_ok: true }),
      done: () => assert.rejects(stat(behind('image')), /ENOENT/),
      failed: () => sameFile('image', 'disk.raw'),
    },
    {
      name: 'DeleteFile',
      prepare: () => put('disk.raw', 'file'),
      call: () => daemon().stranger.unary('FileService/DeleteFile', { path: at('file') }),
      done: () => assert.rejects(stat(behind('file')), /ENOENT/),
      failed: () => sameFile('file', 'disk.raw'),
    },
    {
      name: 'WriteFile',
      prepare: () => old('file'),
      call: () => write({ path: at('file') }),
      done: () => written('file'),
      failed: async () => assert.equal(await readFile(behind('file'), 'utf8'), 'old'),
    },
    {
      name: 'WriteFile in place',
      prepare: () => old('file'),
      call: () => write({ path: at('file'), offset: '0' }),
      done: () => written('file'),
    },
    {
      name: 'ReadFile',
      prepare: () => put('disk.raw', 'file'),
      call: () => daemon().stranger.all('FileService/ReadFile', { path: at('file') }),
      done: () => sameFile('file', 'disk.raw'),
    },
    {
      name: 'TouchFile',
      prepare: () => old('file'),
      call: () => daemon().stranger.unary('FileService/TouchFile', { path: at('file') }),
      done: () => stat(behind('file')),
    },
    {
      name: 'Chown',
      prepare: () => old('file'),
      call: () =>
        daemon().stranger.all('FileService/Chown', { path: disk().path, owner: OTHER_OWNER, recursive: true }),
      done: async () => assert.equal(String((await stat(behind('file'))).uid), OTHER_OWNER),
    },
    {
      name: 'ChownForIdMaps',
      prepare: () => old('file'),
      call: () =>
        daemon().stranger.all('FileService/ChownForIdMaps', {
          path: at('file'),
          uid_maps: [{ start: 0, target: SHIFT, count: 1 }],
          gid_maps: [{ start: 0, target: SHIFT, count: 1 }],
        }),
      done: async () => assert.equal((await stat(behind('file'))).uid, SHIFT),
    },
    ...folderFaultCases({ daemon, disk }),
  ];
}
