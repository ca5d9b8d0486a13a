import type { ImageAddress } from '../model/address.js';
import { asHostlerError } from '../model/errors.js';
import type { DeleteResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import type { ResolvedTarget } from '../ports/targets.js';
import { assertNotHeldSince, inspectPlanned, inspectWhole, type WholeTreePorts } from './whole-tree.js';

export interface RemoveDirectorySpec {
  readonly address: ImageAddress;
  readonly recursive: boolean;
  readonly missingOk: boolean;
}

const NOTHING: DeleteResult = { kind: 'delete', existed: false, freedBytes: 0n, items: 0n };

/**
 * Removes an empty folder, or one with its content. After a crash it is complete, or gone, and then
 * the next start removes the rest of its content.
 */
export function removeDirectory(ports: WholeTreePorts): Verb<RemoveDirectorySpec, DeleteResult> {
  return {
    name: 'RemoveDirectory',
    slot: ({ recursive }) => (recursive ? 'io' : 'none'),
    uses: ({ address, missingOk }) => [
      {
        role: 'removal',
        address,
        kinds: ['folder'],
        missing: 'FILE_NOT_FOUND',
        missingOk,
        allowInUse: true,
        allowDependants: true,
        tree: true,
      },
    ],

    async plan({ address, recursive }, { removal }, { signal }) {
      const target = removal(address);
      const nothing = { kind: 'plan', method: 'delete', moveBytes: 0n, needBytes: 0n } as const;
      if (target?.existing === undefined) return { ...nothing, why: 'there is nothing to remove' };
      if (!recursive) return { ...nothing, why: 'the folder is removed, if it is empty' };
      const { items } = await inspectPlanned(target, 'removed', signal, ports);
      const why = items === 1n ? 'the folder is removed, which is empty' : `${String(items)} entries are removed`;
      return { ...nothing, why };
    },

    async run(spec, run) {
      const target = run.removal(spec.address);
      if (target?.existing === undefined) return NOTHING;
      return spec.recursive ? removeWhole(target, run, ports) : removeEmpty(target, spec, run, ports);
    },
  };
}

async function removeEmpty(
  target: ResolvedTarget,
  { address, missingOk }: RemoveDirectorySpec,
  run: Run,
  { trees }: WholeTreePorts,
): Promise<DeleteResult> {
  const freedBytes = target.existing?.allocatedBytes ?? 0n;
  const result: DeleteResult = { kind: 'delete', existed: true, freedBytes, items: 1n };
  try {
    return await run.commit('DELETING', { address, result }, () => trees.removeEmpty(target));
  } catch (error) {
    // Another process was faster.
    if (missingOk && asHostlerError(error).reason === 'FILE_NOT_FOUND') return NOTHING;
    throw error;
  }
}

async function removeWhole(target: ResolvedTarget, run: Run, ports: WholeTreePorts): Promise<DeleteResult> {
  run.phase('INSPECTING');
  await run.step('inspect');
  const facts = await inspectWhole(target, 'removed', run, ports);
  const { items, allocatedBytes } = facts;
  await run.step('prepare');
  const tree = run.keep(await ports.trees.doom(target, run.operationId));
  await assertNotHeldSince(target, facts, run, ports);
  const result: DeleteResult = { kind: 'delete', existed: true, freedBytes: allocatedBytes, items };
  const { address } = target;
  const removed = await run.commit('DELETING', { address, result }, () => tree.take());
  await tree.empty((doneItems) => {
    run.progress({ doneBytes: 0n, skippedBytes: 0n, doneItems, totalItems: items });
  });
  return removed;
}
