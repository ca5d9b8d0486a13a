import type { ImageAddress } from './address.js';
import type { ImageFormat, Preallocation } from './image-format.js';
import type { Layout } from './image-layout.js';
import type { ImageResult } from './operations/record.js';
import type { Verb } from './operations/verb.js';
import type { FileAttributes, Files, ImageTool, ResolvedTarget } from './ports.js';
import { publishImage, type PublishPorts } from './publish-image.js';
import { SECTOR_BYTES, roundUp } from './size.js';

export interface CreateSpec extends Layout {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly sizeBytes: bigint;
  readonly preallocation: Preallocation;
  readonly clusterSizeBytes?: bigint;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  /** With the passphrase that comes apart from the spec. */
  readonly encrypted: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly attributes: FileAttributes;
}

export type CreatePorts = PublishPorts & { readonly tool: ImageTool; readonly files: Files };

const writesData = ({ preallocation }: CreateSpec) => preallocation === 'full' || preallocation === 'falloc';

/** Tables of an empty image of any format; qcow2's for preallocated metadata take less than 1/4096 of its size. */
const TABLES_BYTES = 1n << 20n;

/** What an image takes that holds nothing. A cluster keeps such things beside its pools. */
export function tablesBytes({ storage }: ResolvedTarget): bigint {
  return storage === 'volume' ? 0n : TABLES_BYTES;
}
const needOf = (spec: CreateSpec, target: ResolvedTarget) =>
  tablesBytes(target) +
  (writesData(spec) ? spec.sizeBytes : spec.preallocation === 'metadata' ? spec.sizeBytes / 4096n : 0n);

/** Makes an empty image. A crash leaves nothing under the final name. */
export function createImage(ports: CreatePorts): Verb<CreateSpec, ImageResult> {
  return {
    name: 'CreateImage',
    slot: (spec) => (writesData(spec) ? 'io' : 'none'),
    uses: ({ address, overwrite, allowDependants }) => [{ role: 'target', address, overwrite, allowDependants }],

    async plan(spec, { target }) {
      const needBytes = needOf(spec, target(spec.address));
      const freeBytes = await ports.files.freeBytes(target(spec.address).directory);
      return {
        kind: 'plan',
        method: 'create',
        why: `an empty ${spec.format} image is written by qemu-img`,
        moveBytes: 0n,
        needBytes,
        freeBytes,
      };
    },

    async run(spec, run) {
      const sizeBytes = roundUp(spec.sizeBytes, SECTOR_BYTES);
      if (sizeBytes !== spec.sizeBytes) {
        run.warn({
          reason: 'SIZE_ROUNDED_UP',
          message: `${String(spec.sizeBytes)} bytes were rounded up to ${String(sizeBytes)}, a multiple of ${String(SECTOR_BYTES)}`,
        });
      }
      await run.reserve(spec.address, needOf(spec, run.target(spec.address)));
      const part = await run.part(spec.address, spec);
      run.phase('CREATING');
      await run.step('create');
      await ports.tool.create(part, { ...spec, sizeBytes, ...run.secrets }, run.tool());
      const work = { method: 'create', why: 'an empty image was asked for', movedBytes: 0n, skippedBytes: sizeBytes };
      const target = { ...spec, ...(writesData(spec) ? {} : { content: 'empty' as const }) };
      return publishImage(part, target, work, run, ports);
    },
  };
}
