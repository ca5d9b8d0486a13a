import type { ImageAddress } from '../model/address.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';
import { rest } from '../model/numbers.js';
import type { ImageResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import { LUKS_HEADER_BYTES } from '../images/luks-space.js';
import { qcow2Tables } from '../images/qcow2-space.js';
import { publishImage, type PublishPorts } from './publish-image.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import type { FileAttributes } from '../ports/handles.js';
import type { ResolvedTarget } from '../ports/targets.js';
import type { ImageTool } from '../ports/tools.js';

export interface CreateSpec extends Layout {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly sizeBytes: bigint;
  readonly preallocation: Preallocation;
  /** The passphrase is in the secrets. */
  readonly encrypted: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly attributes: FileAttributes;
}

export type CreatePorts = PublishPorts & { readonly tool: ImageTool; readonly files: Files };

const writesData = ({ preallocation }: CreateSpec) => preallocation === 'full' || preallocation === 'falloc';

/** Tables of an empty image of any format except qcow2, whose tables grow with the size. */
const TABLES_BYTES = 1n << 20n;

/** The space of an empty image. A cluster stores such metadata beside its pools. */
export function tablesBytes({ storage }: ResolvedTarget): bigint {
  return storage === 'volume' ? 0n : TABLES_BYTES;
}

function needOf(spec: CreateSpec, target: ResolvedTarget): bigint {
  const { format, sizeBytes, preallocation, clusterSizeBytes, extendedL2 } = spec;
  const data = writesData(spec) ? sizeBytes : 0n;
  if (target.storage === 'volume') return data;
  const header = spec.encrypted ? LUKS_HEADER_BYTES : 0n;
  if (format !== 'qcow2') return tablesBytes(target) + header + data;
  const mapped = preallocation === 'off' ? 0n : sizeBytes;
  return tablesBytes(target) + header + data + qcow2Tables(sizeBytes, mapped, clusterSizeBytes, extendedL2);
}

/** Creates an empty image. A crash leaves nothing under the final name. */
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
        why: 'an empty image was asked for',
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
      // `full` means that zeros are written everywhere.
      const movedBytes = spec.preallocation === 'full' ? sizeBytes : 0n;
      const moved = { movedBytes, skippedBytes: rest(sizeBytes, movedBytes) };
      const work = { method: 'create', why: 'an empty image was asked for', ...moved };
      const target = { ...spec, ...(writesData(spec) ? {} : { content: 'empty' as const }) };
      return publishImage(part, target, work, run, ports);
    },
  };
}
