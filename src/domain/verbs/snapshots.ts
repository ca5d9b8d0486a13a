import type { ImageAddress } from '../model/address.js';
import type { Written } from '../ports/changes.js';
import { HostlerError, unsupported } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageInfo, SnapshotFacts } from '../model/image-info.js';
import { changeMarked, headerError, infoNow, mendInterrupted, planned, type ChangePorts } from './in-place.js';
import type { SnapshotResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import { OPENS, unlocked } from '../images/unlocked.js';
import type { Chain, ToolRun } from '../ports/tools.js';

export interface SnapshotSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly snapshot: string;
  /** Only a revert changes what dependants see. */
  readonly allowDependants: boolean;
}

/** The snapshots inside an image, in the order of its table. */
export async function listSnapshots(
  { address, format }: Pick<SnapshotSpec, 'address' | 'format'>,
  { reader }: Pick<ChangePorts, 'reader'>,
): Promise<readonly SnapshotFacts[]> {
  const [{ file, facts }] = await reader.top(address, format);
  await file.handle.close();
  return facts.snapshots;
}

/** Creates a snapshot. After a crash it exists or not, and the same call tells which. */
export function createSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('CreateSnapshot', ports, ({ address, snapshot }, image) => {
    if (find(image.chain, snapshot) !== undefined)
      throw new HostlerError('SNAPSHOT_EXISTS', `${address} has a snapshot ${snapshot}`, {
        facts: { path: address, snapshot },
      });
    return {
      apply: (tool) => ports.changer(image.chain).createSnapshot(image, snapshot, tool),
      result: ({ snapshots }) => snapshots.find(({ name }) => name === snapshot),
    };
  });
}

/** Removes a snapshot. After a crash it exists or not; clusters may have leaked. */
export function deleteSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('DeleteSnapshot', ports, (spec, image) => {
    const found = present(spec, image.chain);
    return {
      apply: (tool) => ports.changer(image.chain).deleteSnapshot(image, spec.snapshot, tool),
      result: ({ snapshots }) => (snapshots.some(({ id }) => id === found.id) ? undefined : found),
    };
  });
}

/** Reverts the content to a snapshot. After a crash it is the old or the new one. */
export function revertSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('RevertSnapshot', ports, (spec, image) => {
    const found = present(spec, image.chain);
    return { apply: (tool) => ports.changer(image.chain).revertSnapshot(image, found.id, tool), unseen: found };
  });
}

/**
 * `result`: undefined while the header does not show the change. `unseen`: no header shows it, and
 * only its tool knows.
 */
type SnapshotChange = { readonly apply: (tool: ToolRun) => Promise<void> } & (
  { readonly result: (now: ImageInfo) => SnapshotFacts | undefined } | { readonly unseen: SnapshotFacts }
);

function snapshotVerb(
  name: 'CreateSnapshot' | 'DeleteSnapshot' | 'RevertSnapshot',
  ports: ChangePorts,
  changeOf: (spec: SnapshotSpec, image: Written) => SnapshotChange,
): Verb<SnapshotSpec, SnapshotResult> {
  return {
    name,
    slot: () => 'none',
    uses: ({ address, format, allowDependants }) => [
      {
        role: 'inplace',
        address,
        format,
        chain: 'whole',
        safeCopy: false,
        refuseDependants: () => name === 'RevertSnapshot' && !allowDependants,
      },
    ],

    plan({ address, snapshot }, { chain }) {
      return planned(name, `the snapshot ${snapshot} inside the image`, chain(address)[0], 0n, ports);
    },

    async run(spec, run) {
      const chain = unlocked(run.chain(spec.address), run.secrets[OPENS]);
      assertSnapshots(chain);
      const [written] = chain;
      const change = await changeOrMend(() => changeOf(spec, { chain }), chain, run, ports);
      const seen = async (asked: 'after success' | 'after failure') => {
        if ('unseen' in change) return asked === 'after success' ? change.unseen : undefined;
        return change.result(await infoNow(written, ports));
      };
      const work = async (sync: () => Promise<void>) => {
        await change.apply(run.tool());
        await sync();
        const snapshot = await seen('after success');
        if (snapshot === undefined) throw headerError(written.file, `the snapshot ${spec.snapshot} is as it was`);
        return snapshot;
      };
      const snapshot = await changeMarked({ chain, written, cancellable: false }, run, ports, work, () =>
        seen('after failure'),
      );
      return { kind: 'snapshot', snapshot };
    },
  };
}

/**
 * A snapshot that an interrupted attempt created or removed makes the repeated call fail: its image
 * is repaired nevertheless.
 */
async function changeOrMend(
  change: () => SnapshotChange,
  chain: Chain,
  run: Run,
  ports: ChangePorts,
): Promise<SnapshotChange> {
  try {
    return change();
  } catch (error) {
    await mendInterrupted(chain, chain[0], run, ports);
    throw error;
  }
}

function assertSnapshots([{ format, file }]: Chain): void {
  if (format === 'qcow2' || file.storage === 'volume') return;
  throw unsupported(`${format} images have no snapshots inside`, { format });
}

function find([{ facts }]: Chain, snapshot: string): SnapshotFacts | undefined {
  return facts.snapshots.find(({ name }) => name === snapshot);
}

function present({ address, snapshot }: SnapshotSpec, chain: Chain): SnapshotFacts {
  const found = find(chain, snapshot);
  if (found !== undefined) return found;
  throw new HostlerError('SNAPSHOT_NOT_FOUND', `${address} has no snapshot ${snapshot}`, {
    facts: { path: address, snapshot },
  });
}
