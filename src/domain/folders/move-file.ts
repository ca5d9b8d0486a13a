import { assertStorage } from '../images/assert-storage.js';
import { sameFile } from '../images/read-image.js';
import { dirname, isBelow, type ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import type { MoveResult } from '../operations/results.js';
import type { Resolution, Verb } from '../operations/verb.js';
import type { NameChange } from '../ports/changes.js';
import type { ExistingTarget, ResolvedTarget } from '../ports/targets.js';
import { admitRewrites, assertFreeName, moveRewritten, type RewritePorts } from './rewritten-names.js';
import { assertNotHeldSince, inspectPlanned, inspectWhole } from './whole-tree.js';

export interface MoveFileSpec {
  readonly source: ImageAddress;
  readonly target: ImageAddress;
  readonly overwrite: boolean;
  /** Cannot be combined with `overwrite`. */
  readonly rewriteBackingFiles: boolean;
}

interface Moved {
  readonly from: ResolvedTarget;
  readonly what: ExistingTarget;
  readonly to: ResolvedTarget;
}

/**
 * Gives a file or folder another name. After a crash it has the old or the new name; if headers get
 * the new name, the next start completes that.
 */
export function moveFile(ports: RewritePorts): Verb<MoveFileSpec, MoveResult> {
  return {
    name: 'MoveFile',
    slot: () => 'none',
    completes: ({ rewriteBackingFiles }) => rewriteBackingFiles,
    uses: ({ source, target, overwrite, rewriteBackingFiles }) => [
      {
        role: 'removal',
        address: source,
        kinds: ['file', 'folder', 'link', 'block', 'other'],
        missing: 'FILE_NOT_FOUND',
        missingOk: false,
        allowInUse: false,
        // The verb itself looks for images that use this name; under another name the file still
        // exists.
        allowDependants: true,
        tree: true,
      },
      // A link of an interrupted attempt may have the name: see `assertFreeName`.
      { role: 'target', address: target, overwrite: overwrite || rewriteBackingFiles, allowDependants: false },
    ],

    async plan(spec, resolution, { signal }) {
      const { from, what, to } = moved(spec, resolution);
      const plan = { kind: 'plan', method: 'rename', moveBytes: 0n, needBytes: 0n } as const;
      const rewrites = spec.rewriteBackingFiles ? 'rewrites' : undefined;
      if (rewrites !== undefined) await assertFreeName({ from, to }, ports);
      await inspectPlanned(from, changeOf({ from, to }), signal, ports, rewrites);
      if (rewrites === undefined) return { ...plan, why: `the ${what.type} gets another name` };
      return { ...plan, why: `the ${what.type} gets another name, first in the headers that need it` };
    },

    async run(spec, run) {
      const { from, what, to } = moved(spec, run);
      const rewrites = spec.rewriteBackingFiles ? 'rewrites' : undefined;
      if (rewrites !== undefined) await assertFreeName({ from, to }, ports);
      run.phase('INSPECTING');
      await run.step('inspect');
      const { needing, ...facts } = await inspectWhole(from, changeOf({ from, to }), run, ports, rewrites);
      if (what.type === 'folder') await assertNotHeldSince(from, facts, run, ports);
      const replaced = to.existing !== undefined && rewrites === undefined;
      const result: MoveResult = { kind: 'move', path: spec.target, replaced, rewrittenItems: needing.length };
      const commit = { address: spec.target, made: what, result };
      if (rewrites === undefined)
        return run.commit('COMMITTING', commit, () => ports.trees.move(from, to, replaced ? 'file' : 'nothing'));
      const images = await admitRewrites(needing, { from, to }, run, ports);
      return run.commit('COMMITTING', commit, () => moveRewritten({ from, to }, what, images, run, ports));
    },
  };
}

/** Fails if the move is impossible whatever the folder contains. */
function moved({ source, target, rewriteBackingFiles }: MoveFileSpec, resolution: Resolution): Moved {
  const [from, to] = [resolution.removal(source), resolution.target(target)];
  const what = from?.existing;
  if (from === undefined || what === undefined)
    throw new HostlerError('BUG', `${source} was admitted without being there`);
  assertStorage(to, ['file'], 'MoveFile');
  const facts = { source, target };
  if (to.existing !== undefined && sameFile(what, to.existing))
    throw new HostlerError('SAME_FILE', `${source} and ${target} are the same file`, { facts });
  if (to.existing !== undefined && what.type === 'folder' && !rewriteBackingFiles)
    throw new HostlerError('TARGET_EXISTS', `${target} exists, and a folder replaces nothing`, {
      facts: { path: target },
    });
  if (!from.trusted && to.trusted)
    throw new HostlerError(
      'IMAGE_UNSAFE',
      `${source} lies in an untrusted root: what comes from there into ${dirname(target)} must be converted or fetched`,
      { facts: { path: source } },
    );
  return { from, what, to };
}

function changeOf({ from, to }: Pick<Moved, 'from' | 'to'>): NameChange {
  return sameFile(from.directoryIdentity, to.directoryIdentity) ? 'renamed' : 'moved';
}

/** Whether the target lies in the source: no folder can contain itself. */
export function isInItself({ source, target }: Pick<MoveFileSpec, 'source' | 'target'>): boolean {
  return source !== target && isBelow(target, source);
}
