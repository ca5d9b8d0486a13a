import { isRbd, type ImageAddress } from '../model/address.js';
import { HostlerError, unsupported } from '../model/errors.js';
import { filesOf } from '../images/extents.js';
import { movedIn, movedOf } from './moved.js';
import { rest, scale } from '../model/numbers.js';
import { dataBytes, dataFrom, hasMap } from '../images/guest-data.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';
import type { ImageResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { CreatePorts } from './create-image.js';
import { LUKS_HEADER_BYTES } from '../images/luks-space.js';
import { DEFAULT_CLUSTER_BYTES, qcow2Tables } from '../images/qcow2-space.js';
import { roundUp } from '../model/size.js';
import { publishImage } from './publish-image.js';
import { quarantine, type TakePorts } from './quarantine.js';
import { assertUnchanged } from '../images/unchanged.js';
import { OPENS, isClosed, unlocked } from '../images/unlocked.js';
import type { FileAttributes } from '../ports/handles.js';
import type { Chain, ConvertRequest, ImageTool, Layer, MeasureOf, ToolRun } from '../ports/tools.js';

export interface ConvertSpec extends Layout {
  readonly source: ImageAddress;
  readonly sourceFormat: ImageFormat;
  readonly target: ImageAddress;
  readonly format: ImageFormat;
  readonly compress: boolean;
  readonly compressionType?: 'zlib' | 'zstd';
  readonly preallocation: Preallocation;
  /** An internal snapshot; unset: the current state. */
  readonly snapshot?: string;
  readonly bytesPerSecond?: bigint;
  /** The passphrases are in the secrets. */
  readonly sourceEncrypted: boolean;
  readonly encrypted: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly attributes: FileAttributes;
  readonly allowInUse: boolean;
}

/**
 * Rewrites an image, with its whole chain, in another format. A crash leaves nothing under the
 * final name.
 */
export function convertImage(
  name: 'ConvertImage' | 'ExtractSnapshot',
  ports: CreatePorts & TakePorts,
): Verb<ConvertSpec, ImageResult> {
  return {
    name,
    slot: () => 'io',
    uses: ({ source, sourceFormat, target, overwrite, allowDependants, allowInUse }) => [
      { role: 'source', address: source, format: sourceFormat, allowInUse, takesForeign: true },
      { role: 'target', address: target, overwrite, allowDependants },
    ],

    async plan(spec, resolution, tool) {
      const chain = resolution.chain(spec.source);
      assertSnapshot(spec, chain);
      const moveBytes = await moveEstimate(spec, chain, ports, tool);
      const freeBytes = await ports.files.freeBytes(resolution.target(spec.target).directory);
      const needBytes = await needOf(spec, chain, moveBytes, ports, tool);
      return { kind: 'plan', method: 'convert', why: why(spec), moveBytes, needBytes, freeBytes };
    },

    async run(spec, run) {
      run.phase('INSPECTING');
      assertSnapshot(spec, run.chain(spec.source));
      await ports.reader.assertChainWhole(run.chain(spec.source), run.signal);
      const part = await run.part(spec.target, spec);
      const taken = await quarantine(run.chain(spec.source), spec.target, part, run, ports);
      const chain = unlocked(taken, run.secrets[OPENS]);
      assertSnapshot(spec, chain);
      const sources = await Promise.all(filesOf(chain).map((file) => ports.files.refresh(file)));
      await assertDmgWhole(chain, ports, run.tool());
      const virtualSizeBytes = sizeOf(spec, chain);
      const totalBytes = await moveEstimate(spec, chain, ports, run.tool());
      const skippedBytes = rest(virtualSizeBytes, totalBytes);
      await run.reserve(spec.target, await needOf(spec, chain, totalBytes, ports, run.tool()));
      run.phase('CONVERTING');
      run.progress({ doneBytes: 0n, totalBytes, skippedBytes });
      await run.step('convert');
      // Measured: qcow2 gets whole clusters and is written faster and more evenly with O_DIRECT;
      // raw, out of order, is not.
      const direct = spec.format === 'qcow2' && !spec.compress && (await part.canWriteDirectly());
      const request: ConvertRequest = { ...spec, ...run.secrets, direct, shared: spec.allowInUse };
      await ports.tool.convert(
        chain,
        part,
        request,
        run.tool((fraction, ahead) => {
          run.progress({ doneBytes: scale(totalBytes, fraction, ahead), totalBytes, skippedBytes });
        }),
      );
      // qemu-img gives the snapshot the size that the image has now.
      if (virtualSizeBytes < chain[0].facts.virtualSizeBytes) await part.truncate(virtualSizeBytes);
      if (!spec.allowInUse) await assertUnchanged(sources, ports.files);
      run.progress({ doneBytes: totalBytes, totalBytes, skippedBytes });
      const work = (made: Layer) => workOf(spec, made, totalBytes, virtualSizeBytes, ports, run.tool());
      return publishImage(part, { address: spec.target, format: spec.format }, work, run, ports);
    },
  };
}

/**
 * A tool skips chunks of a dmg that it cannot decompress, and if they are at the end, takes the
 * disk for a shorter one. Fails with UNSUPPORTED_BY_BACKEND.
 */
async function assertDmgWhole([image, ...below]: Chain, { tool }: CreatePorts, run: ToolRun): Promise<void> {
  if (image.format !== 'dmg') return;
  const { requiredBytes } = await tool.measure([image, ...below], 'raw', run);
  const { virtualSizeBytes } = image.facts;
  if (requiredBytes >= virtualSizeBytes) return;
  throw unsupported(
    `${image.file.address} has ${String(virtualSizeBytes)} bytes, and the tools here can expand ${String(requiredBytes)} of them`,
    { path: image.file.address, format: image.format },
  );
}

/** Compressed data occupies less than was moved: the tables tell how much. */
async function workOf(
  spec: ConvertSpec,
  made: Layer,
  readBytes: bigint,
  wholeBytes: bigint,
  { tool }: CreatePorts,
  run: ToolRun,
) {
  const moved = spec.compress
    ? movedIn(await dataFrom([made], () => true, tool, run), readBytes, wholeBytes)
    : movedOf(made.file, readBytes, wholeBytes);
  return { method: 'convert', why: why(spec), ...moved };
}

/**
 * Fails with SNAPSHOT_NOT_FOUND, and with SNAPSHOT_SIZE_DIFFERS if qemu-img would lose some of its
 * content, or give it another size.
 */
function assertSnapshot(spec: ConvertSpec, chain: Chain): void {
  const { source, snapshot, target, format } = spec;
  if (snapshot === undefined) return;
  const [{ facts }] = chain;
  if (!facts.snapshots.some(({ name }) => name === snapshot))
    throw new HostlerError('SNAPSHOT_NOT_FOUND', `${source} has no snapshot ${snapshot}`, {
      facts: { path: source, snapshot },
    });
  const [size, now] = [sizeOf(spec, chain), facts.virtualSizeBytes];
  const canBeCut = format === 'raw' && !isRbd(target);
  if (size === now || (size < now && canBeCut)) return;
  const advice = size < now ? 'extract it as raw into a file, then convert that' : 'resize the image to as much first';
  throw new HostlerError(
    'SNAPSHOT_SIZE_DIFFERS',
    `the snapshot ${snapshot} of ${source} has ${String(size)} bytes, the image has ${String(now)}: ${advice}`,
    { facts: { path: source, snapshot, virtual_size_bytes: String(size), image_size_bytes: String(now) } },
  );
}

/** The size of what is read: a snapshot has the size that the image had then. */
function sizeOf({ snapshot }: ConvertSpec, [{ facts }]: Chain): bigint {
  const found = facts.snapshots.find(({ name }) => name === snapshot);
  return (snapshot === undefined ? undefined : found?.virtualSizeBytes) ?? facts.virtualSizeBytes;
}

/** The data of what is read; a map describes the current state only. */
async function moveEstimate(spec: ConvertSpec, chain: Chain, { tool }: CreatePorts, run: ToolRun): Promise<bigint> {
  const { snapshot } = spec;
  // In ciphertext, zeros are data.
  if (spec.format === 'luks') return sizeOf(spec, chain);
  if (snapshot === undefined) return dataBytes(chain, tool, run);
  const [{ file, facts, untrusted }] = chain;
  const size = sizeOf(spec, chain);
  if (untrusted === 'inPlace' || isClosed(chain)) return file.allocatedBytes < size ? file.allocatedBytes : size;
  const { requiredBytes, fullyAllocatedBytes } = await tool.measure(chain, 'qcow2', run, { snapshot });
  // Both numbers include the tables; the measured size is that of the image.
  const data = requiredBytes - fullyAllocatedBytes + facts.virtualSizeBytes;
  return data < 0n ? 0n : data < size ? data : size;
}

/**
 * Everything if preallocated, the data for raw, qemu-img's measurement for qcow2; other formats as
 * raw with some tables.
 */
async function needOf(
  spec: ConvertSpec,
  chain: Chain,
  moveBytes: bigint,
  { tool }: CreatePorts,
  run: ToolRun,
): Promise<bigint> {
  const { format, preallocation } = spec;
  const header = spec.encrypted ? LUKS_HEADER_BYTES : 0n;
  if (preallocation === 'falloc' || preallocation === 'full') return sizeOf(spec, chain) + header;
  return (await imageNeed(chain, format, moveBytes, tool, run, spec)) + header;
}

/**
 * Space for this much data of a chain, or of a snapshot in it, in a format, without preallocation.
 */
export async function imageNeed(
  chain: Chain,
  format: ImageFormat,
  moveBytes: bigint,
  tool: ImageTool,
  run: ToolRun,
  what: MeasureOf = {},
): Promise<bigint> {
  if (format === 'raw') return moveBytes;
  const { snapshot, clusterSizeBytes = DEFAULT_CLUSTER_BYTES, extendedL2 } = what;
  const { virtualSizeBytes } = chain[0].facts;
  if (format === 'qcow2' && !hasMap(chain))
    return moveBytes + qcow2Tables(virtualSizeBytes, moveBytes, clusterSizeBytes, extendedL2);
  const canMeasure = format === 'qcow2' && chain[0].untrusted !== 'inPlace' && !isClosed(chain);
  if (!canMeasure) return moveBytes + moveBytes / 64n;
  const measured = await tool.measure(chain, format, run, {
    clusterSizeBytes,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(extendedL2 === undefined ? {} : { extendedL2 }),
  });
  // qemu-img counts the tables of a full disk: for an empty one of 100 TiB that would be 16 GB.
  const allTables = measured.fullyAllocatedBytes - roundUp(virtualSizeBytes, clusterSizeBytes);
  const data = measured.requiredBytes - allTables;
  const tables = qcow2Tables(virtualSizeBytes, data, clusterSizeBytes, extendedL2);
  return data + (tables < allTables ? tables : allTables);
}

function why({ sourceFormat, format, compress }: ConvertSpec): string {
  return `${sourceFormat} is rewritten as ${compress ? 'compressed ' : ''}${format} by qemu-img, reading extents and skipping zeros`;
}
