import { isRbd, type ImageAddress } from '../model/address.js';
import { HostlerError, invalidFields, unsupported } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import { layoutOf, type Layout } from '../model/image-layout.js';
import type { ImageResult } from '../operations/results.js';
import type { Resolution, Verb } from '../operations/verb.js';
import { tablesBytes, type CreatePorts } from './create-image.js';
import { assertSameForGuests } from '../images/guests-base.js';
import { publishImage } from './publish-image.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import type { FileAttributes } from '../ports/handles.js';
import type { CreateRequest } from '../ports/tools.js';

/** The format stores the backing file's name in at most this many bytes. */
export const MAX_BACKING_NAME_BYTES = 1023;
/** Reads get slower with each layer; deeper chains should be flattened. */
const MAX_OVERLAY_LAYERS = 16;

export interface OverlaySpec extends Layout {
  readonly address: ImageAddress;
  readonly backing: ImageAddress;
  readonly backingFormat: ImageFormat;
  /** Unset: the base's. */
  readonly sizeBytes?: bigint;
  readonly allowChain: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly attributes: FileAttributes;
  readonly allowInUse: boolean;
}

/**
 * Creates a qcow2 overlay on a base that qemu does not open, or a clone in a cluster. A crash
 * leaves nothing under the final name.
 */
export function createOverlay(ports: CreatePorts): Verb<OverlaySpec, ImageResult> {
  return {
    name: 'CreateOverlay',
    slot: () => 'none',
    uses: ({ address, backing, backingFormat, overwrite, allowDependants, allowInUse }) => [
      // A clone is made of a snapshot, so a writer cannot change it meanwhile.
      {
        role: 'source',
        address: backing,
        format: backingFormat,
        allowInUse: allowInUse || isRbd(backing),
        reading: 'unread',
      },
      { role: 'target', address, overwrite, allowDependants },
    ],

    async plan(spec, resolution) {
      overlayRequest(spec, resolution);
      const freeBytes = await ports.files.freeBytes(resolution.target(spec.address).directory);
      return {
        kind: 'plan',
        method: 'overlay',
        why: 'an overlay holds only what differs from its base',
        moveBytes: 0n,
        needBytes: tablesBytes(resolution.target(spec.address)),
        freeBytes,
      };
    },

    async run(spec, run) {
      const request = overlayRequest(spec, run);
      await run.reserve(spec.address, tablesBytes(run.target(spec.address)));
      await ports.reader.assertChainWhole(run.chain(spec.backing), run.signal);
      const part = await run.part(spec.address, spec);
      run.phase('CREATING');
      await run.step('create');
      await ports.tool.create(part, request, run.tool());
      const { sizeBytes, format } = request;
      const work = { method: 'overlay', why: 'an overlay was asked for', movedBytes: 0n, skippedBytes: sizeBytes };
      return publishImage(part, { address: spec.address, format, content: 'empty' }, work, run, ports);
    },
  };
}

/** The error for an image smaller than its base, both in bytes. */
export function baseLarger(path: string, ownBytes: bigint, base: string, baseBytes: bigint): HostlerError {
  const sizes = { virtual_size_bytes: String(ownBytes), base_virtual_size_bytes: String(baseBytes) };
  return new HostlerError(
    'BASE_LARGER',
    `the virtual size of ${base} is ${sizes.base_virtual_size_bytes} bytes, more than the ${sizes.virtual_size_bytes} of ${path}`,
    { facts: { path, backing_file: base, ...sizes } },
  );
}

/**
 * The error for an overlay in another kind of storage than its base: no tool could find the base
 * from there.
 */
export function apartFromBase(path: string, base: string): HostlerError {
  return unsupported('an overlay lies where its base lies, in files or in a cluster', { path, backing_file: base });
}

/** Checks the base and returns what to create. */
function overlayRequest(spec: OverlaySpec, resolution: Resolution): CreateRequest {
  const chain = resolution.chain(spec.backing);
  const [{ file, facts }] = chain;
  if (chain.length > 1 && !spec.allowChain) {
    throw new HostlerError(
      'BASE_HAS_BACKING_FILE',
      `${spec.backing} has a backing file itself; set allow_chain if that is meant`,
      { facts: { path: spec.backing } },
    );
  }
  assertSameForGuests(chain);
  if (chain.length >= MAX_OVERLAY_LAYERS) {
    throw new HostlerError('IMAGE_UNSAFE', `the chain would have more than ${String(MAX_OVERLAY_LAYERS)} layers`, {
      facts: { path: spec.backing, layers: String(chain.length + 1) },
    });
  }
  if (Buffer.byteLength(file.storedName) > MAX_BACKING_NAME_BYTES) {
    throw invalidFields([
      {
        field: 'backing_file',
        description: `longer than the ${String(MAX_BACKING_NAME_BYTES)} bytes that a header can hold`,
      },
    ]);
  }
  const sizeBytes = roundUp(spec.sizeBytes ?? facts.virtualSizeBytes, SECTOR_BYTES);
  if (sizeBytes < facts.virtualSizeBytes)
    throw baseLarger(spec.address, sizeBytes, spec.backing, facts.virtualSizeBytes);
  const { storage } = resolution.target(spec.address);
  if (storage !== file.storage) throw apartFromBase(spec.address, spec.backing);
  const clusterSizeBytes = spec.clusterSizeBytes ?? inheritedClusterSize(facts.clusterSizeBytes);
  return {
    format: storage === 'volume' ? 'raw' : 'qcow2',
    sizeBytes,
    preallocation: 'off',
    ...layoutOf(spec),
    ...(clusterSizeBytes === undefined ? {} : { clusterSizeBytes }),
    backing: { storedName: file.storedName, format: spec.backingFormat, lengthBytes: file.lengthBytes },
  };
}

/**
 * Other formats have cluster sizes that qcow2 does not support (vdi: 1 MiB works, vhdx: 32 MiB does
 * not).
 */
function inheritedClusterSize(bytes: bigint | undefined): bigint | undefined {
  return bytes !== undefined && bytes >= 512n && bytes <= 2n << 20n && (bytes & (bytes - 1n)) === 0n
    ? bytes
    : undefined;
}
