/** How fast an image is looked at, by one caller and by many. */
import { writeFile } from 'node:fs/promises';
import { GetImageInfoRequest } from '../src/gen/hostler/v1/image_service.js';
import type { Daemon } from '../test/support/daemon.js';
import { sh } from '../test/support/shell.js';
import { grpcFrame, type Case } from './harness.js';
import { peer } from './peers.js';

const LAYERS = 16;
const CALLS = 20;
const IN_FLIGHT = 64;
const MANY = 3000;

/**
 * Each contender looks so often in a round: one call alone is too short to be timed beside a
 * process.
 */
export function infoCases(daemon: Daemon): Case[] {
  const image = (n: number) => daemon.image(`layer-${String(n)}.qcow2`);
  const ours = (request: Record<string, unknown>) => async () => {
    for (let n = 0; n < CALLS; n++) await daemon.stranger.unary('ImageService/GetImageInfo', request);
  };
  const theirs =
    (...args: string[]) =>
    async () => {
      for (let n = 0; n < CALLS; n++) await peer('qemu-img', 'info', '--output=json', ...args);
    };
  let made = false;
  const prepare = async () => {
    if (made) return;
    made = true;
    for (let n = 0; n < LAYERS; n++)
      await sh(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        ...(n === 0 ? [] : ['-F', 'qcow2', '-b', image(n - 1)]),
        image(n),
        '1G',
      );
  };
  const top = image(LAYERS - 1);
  const frame = daemon.image('../frame');
  const h2load = [
    ...['-n', String(MANY), '-c', '1', '-m', String(IN_FLIGHT), '-d', frame],
    ...['-H', 'content-type: application/grpc', '-H', 'te: trailers', '-B', daemon.address.replace('unix://', 'unix:')],
    'http://localhost/hostler.v1.ImageService/GetImageInfo',
  ];
  return [
    {
      name: `info: GetImageInfo, ${String(CALLS)} calls one after another`,
      bar: '<= 0.125x qemu-img info',
      limit: { times: 0.125, of: 'qemu-img info' },
      contenders: [
        { name: 'GetImageInfo', prepare, run: ours({ path: image(0), format: 'qcow2' }) },
        { name: 'qemu-img info', prepare, run: theirs('-f', 'qcow2', image(0)) },
      ],
    },
    {
      name: `info: GetImageInfo of a chain of ${String(LAYERS)}, ${String(CALLS)} calls`,
      bar: '<= 0.05x qemu-img info --backing-chain',
      limit: { times: 0.05, of: 'qemu-img info --backing-chain' },
      contenders: [
        { name: 'GetImageInfo', prepare, run: ours({ path: top, format: 'qcow2', backing_chain: true }) },
        { name: 'qemu-img info --backing-chain', prepare, run: theirs('--backing-chain', '-f', 'qcow2', top) },
      ],
    },
    {
      name: `info: ${String(MANY)} calls of GetImageInfo, ${String(IN_FLIGHT)} in flight`,
      bar: '<= 1000 ms',
      limit: { ms: 1000 },
      contenders: [
        {
          name: 'GetImageInfo',
          prepare,
          run: async () => {
            let left = MANY;
            const worker = async () => {
              while (left-- > 0)
                await daemon.stranger.unary('ImageService/GetImageInfo', { path: image(0), format: 'qcow2' });
            };
            await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
          },
        },
      ],
    },
    {
      name: `info: ${String(MANY)} calls of GetImageInfo, ${String(IN_FLIGHT)} in flight, by a client in C (h2load)`,
      bar: '<= 1000 ms',
      limit: { ms: 1000 },
      contenders: [
        {
          name: 'GetImageInfo',
          prepare: async () => {
            await prepare();
            const request = GetImageInfoRequest.create({ path: image(0), format: 'qcow2' });
            await writeFile(frame, grpcFrame(GetImageInfoRequest.encode(request).finish()));
          },
          run: async () => {
            const out = await sh('h2load', ...h2load);
            if (!out.includes(`${String(MANY)} succeeded`)) throw new Error(out);
          },
        },
      ],
    },
  ];
}
