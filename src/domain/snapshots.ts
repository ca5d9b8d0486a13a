import type { ImageAddress } from './address.js';
import type { Written } from './change-ports.js';
import { HostlerError } from './errors.js';
import type { ImageFormat } from './image-format.js';
import type { SnapshotFacts } from './image-info.js';
import { assertHeader, headerError, infoNow, planned, whileOpen, type ChangePorts } from './in-place.js';
import type { SnapshotResult } from './operations/record.js';
import type { Run, Verb } from './operations/verb.js';
import type { Chain } from './ports.js';

export interface SnapshotSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly snapshot: string;
  /** Only a revert changes what others see. */
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

/** Makes a snapshot. After a crash it is there or not, and the same call says which. */
export function createSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('CreateSnapshot', ports, async ({ address, snapshot }, run, image) => {
    if (find(image.chain, snapshot) !== undefined)
      throw new HostlerError('SNAPSHOT_EXISTS', `${address} has a snapshot ${snapshot}`, {
        facts: { path: address, snapshot },
      });
    await begin(image, run);
    await ports.changer.createSnapshot(image, snapshot, run.tool());
    const now = await infoNow(image.chain[0], ports);
    const made = now.snapshots.find(({ name }) => name === snapshot);
    if (made === undefined) throw headerError(now, `there is no snapshot ${snapshot}`);
    return made;
  });
}

/** Removes a snapshot. After a crash it is there or not; clusters may have leaked. */
export function deleteSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('DeleteSnapshot', ports, async (spec, run, image) => {
    const found = present(spec, image.chain);
    await begin(image, run);
    await ports.changer.deleteSnapshot(image, spec.snapshot, run.tool());
    const now = await infoNow(image.chain[0], ports);
    assertHeader(!now.snapshots.some(({ id }) => id === found.id), now, `there is still a snapshot ${spec.snapshot}`);
    return found;
  });
}

/** Makes the content what it was at a snapshot. After a crash it is the old or the new one. */
export function revertSnapshot(ports: ChangePorts): Verb<SnapshotSpec, SnapshotResult> {
  return snapshotVerb('RevertSnapshot', ports, async (spec, run, image) => {
    const found = present(spec, image.chain);
    await begin(image, run);
    await ports.changer.revertSnapshot(image, found.id, run.tool());
    return found;
  });
}

function snapshotVerb(
  name: 'CreateSnapshot' | 'DeleteSnapshot' | 'RevertSnapshot',
  ports: ChangePorts,
  change: (spec: SnapshotSpec, run: Run, image: Written) => Promise<SnapshotFacts>,
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
      const chain = run.chain(spec.address);
      assertSnapshots(chain);
      const snapshot = await whileOpen(chain[0].file, ports, async (sync) => {
        const made = await change(spec, run, { chain });
        await sync();
        return made;
      });
      return { kind: 'snapshot', snapshot };
    },
  };
}

async function begin({ chain }: Written, run: Run): Promise<void> {
  await run.touch(chain[0].file);
  run.phase('MODIFYING', false);
  await run.step('change');
}

function assertSnapshots([{ format, file }]: Chain): void {
  if (format === 'qcow2' || file.storage === 'volume') return;
  throw new HostlerError('UNSUPPORTED_BY_BACKEND', `${format} images have no snapshots inside`, { facts: { format } });
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
