/**
 * What we count for the tables of a qcow2 beside what qemu-img takes for them: never less, and not
 * many times as much.
 */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { qcow2Tables } from '../../src/domain/images/qcow2-space.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const [MIB, TIB] = [1n << 20n, 1n << 40n];

interface Options {
  readonly clusterBytes?: bigint;
  readonly extended?: boolean;
  readonly metadata?: boolean;
}

describe('tables of a qcow2', () => {
  const scratch = scratchFolder();
  const create = async (sizeBytes: bigint, { clusterBytes, extended, metadata }: Options) => {
    const path = scratch.path('image');
    const options = [
      ...(clusterBytes === undefined ? [] : [`cluster_size=${String(clusterBytes)}`]),
      ...(extended === true ? ['extended_l2=on'] : []),
      ...(metadata === true ? ['preallocation=metadata'] : []),
    ];
    const words = options.length === 0 ? [] : ['-o', options.join(',')];
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...words, path, String(sizeBytes));
    return path;
  };
  const takes = async (path: string) => BigInt((await stat(path)).blocks) * 512n;
  const fits = (taken: bigint, counted: bigint) => {
    assert.ok(counted >= taken, `${String(counted)} is less than ${String(taken)}`);
    assert.ok(counted <= 4n * taken + MIB, `${String(counted)} is much more than ${String(taken)}`);
  };

  for (const [size, options] of [
    [MIB, {}],
    [100n * TIB, {}],
    [TIB, { clusterBytes: 2n * MIB }],
    [100n * MIB, { clusterBytes: 512n }],
    [TIB, { extended: true }],
    [TIB / 16n, { metadata: true }],
    [10n * MIB, { clusterBytes: 512n, metadata: true }],
    [TIB / 64n, { extended: true, metadata: true }],
  ] as const)
    it(`${String(size / MIB)} MiB, ${JSON.stringify(options, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}`, async () => {
      const { clusterBytes, extended, metadata }: Options = options;
      const counted = qcow2Tables(size, metadata === true ? size : 0n, clusterBytes, extended);
      fits(await takes(await create(size, options)), counted);
    });

  it('data far apart from each other', async () => {
    const path = await create(TIB, {});
    const places = Array.from({ length: 40 }, (_, n) => BigInt(n) * 7n * 1024n * MIB + 3n * MIB);
    await sh('qemu-io', '-f', 'qcow2', ...places.flatMap((at) => ['-c', `write -P 1 ${String(at)} 64k`]), path);
    const data = BigInt(places.length) * 65_536n;
    fits(await takes(path), data + qcow2Tables(TIB, data));
  });
});
