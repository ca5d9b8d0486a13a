import type { ImageAddress } from '../model/address.js';
import type { ChownResult } from '../operations/results.js';
import type { Run, Use, Verb } from '../operations/verb.js';
import { HostlerError } from '../model/errors.js';
import type { IdMap, OwnerChange } from '../model/owner-change.js';
import type { OwnerNames, Ownership } from '../ports/files.js';
import type { Entry, FileKind } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

export interface ChownSpec {
  readonly address: ImageAddress;
  readonly owner: OwnerNames;
  readonly recursive: boolean;
}

export interface ShiftSpec {
  readonly address: ImageAddress;
  readonly uidMaps: readonly IdMap[];
  readonly gidMaps: readonly IdMap[];
}

interface Ports {
  readonly ownership: Ownership;
}

const UNREAD =
  'access lists and capabilities cannot be read on this host: the lists name the ids that they named, and files that changed owner lost their capabilities';
const LOST =
  'files came to belong to ids of the host (below 65536): they lost their set-id bits and capabilities, which would count on the host';
const ALL_KINDS: readonly FileKind[] = ['file', 'folder', 'link', 'block', 'other'];

/**
 * Changes the owner of a file or a whole tree. After a crash or cancel some entries are changed;
 * the same call finishes the work.
 */
export function chown({ ownership }: Ports): Verb<ChownSpec, ChownResult> {
  return {
    name: 'Chown',
    slot: ({ recursive }) => (recursive ? 'io' : 'none'),
    uses: ({ address, recursive }) => [changes(address, recursive)],

    async plan({ address, owner, recursive }, { entry }, run) {
      const change: OwnerChange = { kind: 'set', ...(await ownership.ids(owner, run)) };
      return planned('chown', present(entry(address)), change, recursive, run, ownership);
    },

    async run({ address, owner, recursive }, run) {
      const ids = await ownership.ids(owner, run.tool());
      const entry = present(run.entry(address));
      if (recursive) return walked(entry, { kind: 'set', ...ids }, run, ownership);
      run.phase('MODIFYING');
      await run.step('chown');
      return { kind: 'chown', changedItems: (await ownership.set(entry, ids)) ? 1n : 0n, seenItems: 1n };
    },
  };
}

/**
 * Shifts all owners of a tree through id maps. After a crash or cancel some entries are shifted;
 * the same call finishes the work, and recognises finished entries by their owner. If target ids
 * are also source ids that is impossible: such a walk must not be interrupted.
 */
export function shiftOwners({ ownership }: Ports): Verb<ShiftSpec, ChownResult> {
  return {
    name: 'ChownForIdMaps',
    slot: () => 'io',
    uses: ({ address }) => [changes(address, true)],

    plan({ address, uidMaps, gidMaps }, { entry }, run) {
      const change: OwnerChange = { kind: 'shift', uidMaps, gidMaps, rightsOnHost: false };
      return planned('shift', present(entry(address)), change, true, run, ownership);
    },

    run({ address, uidMaps, gidMaps }, run) {
      // A caller that may run every command has the rights of root already.
      const rightsOnHost = run.caller.grant.commands === 'all';
      return walked(present(run.entry(address)), { kind: 'shift', uidMaps, gidMaps, rightsOnHost }, run, ownership);
    },
  };
}

/** The disk of a running guest may get another owner. */
function changes(address: ImageAddress, tree: boolean): Use {
  const access = tree ? 'change tree' : 'change';
  const need = { follow: false, access } as const;
  return { role: 'change', address, need, kinds: ALL_KINDS, missingOk: false, allowInUse: true, changesContent: false };
}

async function walked(entry: Entry, change: OwnerChange, run: Run, ownership: Ownership): Promise<ChownResult> {
  run.phase('WALKING');
  await run.step('walk');
  const { rights, lost, ...counts } = await ownership.walk(entry, change, {
    signal: run.signal,
    dryRun: false,
    onProgress(doneItems, totalItems) {
      const total = totalItems === undefined ? {} : { totalItems };
      run.progress({ doneBytes: 0n, skippedBytes: 0n, doneItems, ...total });
    },
  });
  if (rights === 'unread') run.warn({ reason: 'RIGHTS_NOT_KEPT', message: UNREAD });
  if (lost) run.warn({ reason: 'RIGHTS_NOT_KEPT', message: LOST });
  return { kind: 'chown', ...counts };
}

async function planned(
  method: string,
  entry: Entry,
  change: OwnerChange,
  tree: boolean,
  { signal }: ToolRun,
  ownership: Ownership,
) {
  const counts = tree ? await ownership.walk(entry, change, { signal, dryRun: true }) : undefined;
  const why =
    counts === undefined
      ? 'one entry gets its owner'
      : `${String(counts.changedItems)} of ${String(counts.seenItems)} entries have other owners`;
  return { kind: 'plan' as const, method, why, moveBytes: 0n, needBytes: 0n };
}

function present(entry: Entry | undefined): Entry {
  if (entry === undefined) throw new HostlerError('BUG', 'an entry that must exist was admitted without it');
  return entry;
}
