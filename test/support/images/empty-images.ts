/** New qcow2 images as we lay them out, beside those that qemu-img makes. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { emptyQcow2, type EmptyImage, type Qcow2Choices } from '../../../src/domain/formats/empty/empty-qcow2.js';
import { MAX_SIZE_BYTES } from '../../../src/domain/model/size.js';
import type { Scratch } from '../scratch.js';
import { tryRun } from '../shell.js';

const PLAIN: Qcow2Choices = {
  compat: '1.1',
  clusterBytes: 65_536,
  sizeBytes: 20n << 30n,
  refcountBits: 16,
  lazyRefcounts: false,
  extendedL2: false,
  compressionType: 'zlib',
};

/** Powers of two from nothing to 64 PiB, what lies beside some, and the largest that qemu knows. */
const SIZES: readonly bigint[] = [
  0n,
  ...Array.from({ length: 56 - 9 + 1 }, (_, n) => 1n << BigInt(n + 9)),
  ...[20n, 31n, 37n, 41n, 50n].flatMap((bits) => [(1n << bits) - 512n, (1n << bits) + 512n, 3n << (bits - 1n)]),
  MAX_SIZE_BYTES,
];
const CLUSTERS = Array.from({ length: 21 - 9 + 1 }, (_, n) => 1 << (n + 9));
const REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64];
/** What qemu-img refuses, too. */
const WRONG: readonly Partial<Qcow2Choices>[] = [
  { clusterBytes: 3 },
  { clusterBytes: 256 },
  { clusterBytes: 4 << 20 },
  { refcountBits: 7 },
  { refcountBits: 128 },
  ...CLUSTERS.map((clusterBytes) => ({ clusterBytes, extendedL2: true })),
];
const VERSIONS: readonly Partial<Qcow2Choices>[] = (['0.10', '1.1'] as const).flatMap((compat) =>
  [false, true].flatMap((lazyRefcounts) =>
    [false, true].flatMap((extendedL2) =>
      (['zlib', 'zstd'] as const).map((compressionType) => ({ compat, lazyRefcounts, extendedL2, compressionType })),
    ),
  ),
);
const BACKINGS = [1, 7, 8, 9, 100, 375, 376, 377, 900, 1022, 1023, 1024].flatMap((length) =>
  ['raw', 'qcow2', 'parallels'].map((format) => ({ name: `/${'ä'.repeat(length / 2)}n`.slice(-length), format })),
);

/**
 * Where qemu-img, which makes each table durable by itself, waits for no disk, if there is such a
 * place.
 */
export async function folderInMemory(scratch: Scratch): Promise<string> {
  if (!existsSync('/dev/shm')) return scratch.path();
  const folder = await mkdtemp('/dev/shm/hostler-test-');
  scratch.onEnd(() => rm(folder, { recursive: true }));
  return folder;
}

/** All that is compared: each size in each cluster with each refcount, and all else with some of these. */
export function everyChoice(): Qcow2Choices[] {
  const tables = SIZES.flatMap((sizeBytes) =>
    CLUSTERS.flatMap((clusterBytes) =>
      REFCOUNT_BITS.map((refcountBits) => ({ sizeBytes, clusterBytes, refcountBits })),
    ),
  );
  const headers = CLUSTERS.flatMap((clusterBytes) => [
    ...VERSIONS.map((version) => ({ clusterBytes, ...version })),
    ...BACKINGS.map((backing) => ({ clusterBytes, backing, sizeBytes: 1n << 30n })),
    ...BACKINGS.map((backing) => ({ clusterBytes, backing, compat: '0.10' as const, sizeBytes: 1n << 30n })),
  ]);
  const oldRefcounts = REFCOUNT_BITS.map((refcountBits) => ({ refcountBits, compat: '0.10' as const }));
  return [...tables, ...headers, ...oldRefcounts, ...WRONG].map((chosen) => ({ ...PLAIN, ...chosen }));
}

/** Some of all, the same for the same number. */
export function sampleOf(choices: readonly Qcow2Choices[], count: number, random: () => number): Qcow2Choices[] {
  return Array.from({ length: count }, () => choices[Math.floor(random() * choices.length)]).filter(
    (choice) => choice !== undefined,
  );
}

/**
 * Fails unless qemu-img makes the same image of the same choices byte by byte, or refuses what we
 * leave to it; `path` may be written.
 */
export async function assertAsQemuMakes(path: string, choices: Qcow2Choices): Promise<'made' | 'refused'> {
  await rm(path, { force: true });
  const { code, stderr } = await tryRun('qemu-img', createWords(path, choices));
  const image = emptyQcow2(choices);
  const what = JSON.stringify(choices, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  if (code !== 0 || image === undefined) {
    assert.ok(code !== 0 && image === undefined, `qemu-img ${code === 0 ? 'makes' : 'refuses'} ${what}: ${stderr}`);
    return 'refused';
  }
  await assertHolds(path, image, what);
  return 'made';
}

/** Writes the image as it is to be; zeros are left out. */
export async function writeImage(path: string, { lengthBytes, pieces }: EmptyImage): Promise<void> {
  await writeFile(path, '');
  const file = await open(path, 'r+');
  try {
    for (const { bytes, offsetBytes } of pieces) await file.write(bytes, 0, bytes.length, offsetBytes);
    await file.truncate(Number(lengthBytes));
  } finally {
    await file.close();
  }
}

function createWords(path: string, choices: Qcow2Choices): string[] {
  const { compat, clusterBytes, sizeBytes, refcountBits, lazyRefcounts, extendedL2, compressionType, backing } =
    choices;
  const onOff = (value: boolean) => (value ? 'on' : 'off');
  const options = [
    `compat=${compat},cluster_size=${String(clusterBytes)},refcount_bits=${String(refcountBits)}`,
    `lazy_refcounts=${onOff(lazyRefcounts)},extended_l2=${onOff(extendedL2)},compression_type=${compressionType}`,
  ];
  const base = backing === undefined ? [] : ['-u', '-F', backing.format, '-b', backing.name];
  return ['create', '-q', '-f', 'qcow2', ...base, '-o', options.join(','), path, String(sizeBytes)];
}

async function assertHolds(path: string, { lengthBytes, pieces }: EmptyImage, what: string): Promise<void> {
  const file = await open(path);
  try {
    assert.equal((await file.stat({ bigint: true })).size, lengthBytes, `the length of ${what}`);
    const bytes = Buffer.alloc(Number(lengthBytes));
    await file.read(bytes, 0, bytes.length, 0);
    const ours = Buffer.alloc(bytes.length);
    for (const piece of pieces) piece.bytes.copy(ours, piece.offsetBytes);
    const at = bytes.equals(ours) ? -1 : bytes.findIndex((byte, index) => byte !== ours[index]);
    assert.equal(at, -1, `byte ${String(at)} of ${what}`);
  } finally {
    await file.close();
  }
}
