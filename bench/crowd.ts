/** What is left for one modest caller while hundreds of clients of others read without a pause. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetFilesystemInfoRequest, GetHostInfoRequest } from '../src/gen/hostler/v1/host_info_service.js';
import { GetImageInfoRequest, ListSnapshotsRequest, MapImageRequest } from '../src/gen/hostler/v1/image_service.js';
import { ListOperationsRequest } from '../src/gen/hostler/v1/operation_service.js';
import { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import { Stranger } from '../test/support/stranger.js';
import type { DurabilityFigure } from './durability.js';
import { grpcFrame } from './harness.js';

/** Of each of five callers. */
const CLIENTS = 100;
const SECONDS = 10;

type Read = readonly [rpc: string, message: Uint8Array];

/** Reads that the daemon answers itself. */
function ownReads(path: string): Read[] {
  return [
    ['ImageService/GetImageInfo', GetImageInfoRequest.encode(GetImageInfoRequest.create({ path })).finish()],
    [
      'ImageService/ListSnapshots',
      ListSnapshotsRequest.encode(ListSnapshotsRequest.create({ path, format: 'qcow2' })).finish(),
    ],
    ['HostInfoService/GetHostInfo', GetHostInfoRequest.encode(GetHostInfoRequest.create()).finish()],
    [
      'HostInfoService/GetFilesystemInfo',
      GetFilesystemInfoRequest.encode(GetFilesystemInfoRequest.create({ path })).finish(),
    ],
    ['OperationService/ListOperations', ListOperationsRequest.encode(ListOperationsRequest.create()).finish()],
  ];
}

/** One for which a tool is started. */
function toolRead(path: string): Read {
  return ['ImageService/MapImage', MapImageRequest.encode(MapImageRequest.create({ path, format: 'qcow2' })).finish()];
}

export async function crowdFigures(folder: string): Promise<DurabilityFigure[]> {
  await mkdir(folder, { recursive: true });
  const socket = (name: string) => join(folder, `${name}.sock`);
  const image = join(folder, 'images', 'disk.qcow2');
  const names = ['modest', '0', '1', '2', '3', '4'];
  const daemon = await Daemon.start(folder, {
    toml: names.map((name) => `[[listeners]]\naddress = "unix://${socket(name)}"\nrole = "operator"\n`).join(''),
  });
  const modest = new Stranger(`unix://${socket('modest')}`);
  const crowd = async (reads: readonly Read[]): Promise<number> => {
    const answers = reads.map(async ([rpc, message], n) => {
      const frame = join(folder, `frame-${String(n)}`);
      await writeFile(frame, grpcFrame(message));
      const out = await sh('h2load', ...load(rpc, frame, socket(String(n))));
      return Number(/(\d+) succeeded/.exec(out)?.[1]);
    });
    return (await Promise.all(answers)).reduce((sum, each) => sum + each, 0);
  };
  const beside = async (what: string, reads: readonly Read[]): Promise<DurabilityFigure> => {
    const answers = crowd(reads);
    const ms = await times(modest, image, answers);
    const rate = Math.round((await answers) / SECONDS);
    return {
      name: `GetImageInfo of one caller beside ${String(CLIENTS * reads.length)} clients, ${what}, ${String(rate)} answers a second`,
      bar: 'p99 200 ms',
      ms,
    };
  };
  try {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image, '1G');
    const alone = await times(modest, image, sleep(3000));
    const own = ownReads(image);
    return [
      { name: 'GetImageInfo of one caller, alone', bar: '-', ms: alone },
      await beside('reads of the daemon alone', own),
      await beside('of which 100 have a tool started', [...own.slice(1), toolRead(image)]),
    ];
  } finally {
    modest.close();
    await daemon.stop();
  }
}

function load(rpc: string, frame: string, socket: string): string[] {
  return [
    ...['-c', String(CLIENTS), '-m', '1', '-D', String(SECONDS), '-d', frame, '-B', `unix:${socket}`],
    ...['-H', 'content-type: application/grpc', '-H', 'te: trailers', `http://localhost/hostler.v1.${rpc}`],
  ];
}

/** How long each of a row of GetImageInfo calls takes, until `end`. */
export async function times(modest: Stranger, path: string, end: Promise<unknown>): Promise<number[]> {
  const ms: number[] = [];
  const over = new AbortController();
  const ended = end.finally(() => {
    over.abort();
  });
  while (!over.signal.aborted) {
    const started = performance.now();
    await modest.unary('ImageService/GetImageInfo', { path });
    ms.push(performance.now() - started);
    await sleep(5);
  }
  await ended;
  return ms;
}
