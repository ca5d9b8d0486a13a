import type { PathScope } from '../access/path-scope.js';
import type { ImageAddress } from '../model/address.js';
import { hasDependants } from '../images/has-dependants.js';
import { orAborted } from '../model/async.js';
import { HostlerError } from '../model/errors.js';
import type { Run } from '../operations/verb.js';
import { assertLookedAt, type Dependant, type Dependants, type NameChange } from '../ports/changes.js';
import type { ResolvedTarget } from '../ports/targets.js';
import type { HeldFile, TreeFacts, Trees } from '../ports/trees.js';

export interface WholeTreePorts {
  readonly trees: Trees;
  readonly dependants: Dependants;
  /** What the current caller may see. */
  readonly scope: Pick<PathScope, 'allows' | 'touches'>;
}

/**
 * Examines an entry and everything below it for anything that forbids a removal or move. `needing`
 * are the images that would lose their backing file; there are none unless the move `rewrites`
 * them. Fails with PATH_BUSY, IMAGE_IN_USE, IMAGE_HAS_DEPENDANTS, DEPENDANTS_UNKNOWN,
 * BASE_NAMED_RELATIVELY, and as `Trees.inspect`.
 */
export async function inspectWhole(
  target: ResolvedTarget,
  change: NameChange,
  run: Pick<Run, 'busyElsewhere' | 'signal' | 'progress'>,
  { trees, dependants, scope }: WholeTreePorts,
  rewrites?: 'rewrites',
): Promise<TreeFacts & { readonly needing: readonly Dependant[] }> {
  const { address } = target;
  const elsewhere = run.busyElsewhere();
  const facts = await trees.inspect(target, {
    signal: run.signal,
    busy: new Set(elsewhere.keys()),
    onProgress: (doneItems) => {
      run.progress({ doneBytes: 0n, skippedBytes: 0n, doneItems });
    },
  });
  if (facts.busy !== undefined) throw busyIn(address, facts.busy, elsewhere);
  if (facts.held !== undefined) throw heldIn(facts.held);
  const asked = dependants.onName({ handle: target.directory, name: target.name }, change);
  // The first scan of a large root takes minutes.
  const answer = await orAborted(asked, run.signal);
  const mayWrite = answer.found.every(({ path }) => scope.allows({ address: path, need: 'write' }));
  if (rewrites === undefined || !mayWrite)
    assertNone(answer.found, address, ({ path }) => scope.allows({ address: path, need: 'read' }));
  assertLookedAt(answer, address, (place) => scope.touches(place));
  return { ...facts, needing: answer.found };
}

/**
 * The same for a plan, which holds no locks: files that other operations use now do not predict
 * later conflicts.
 */
export function inspectPlanned(
  target: ResolvedTarget,
  change: NameChange,
  signal: AbortSignal,
  ports: WholeTreePorts,
  rewrites?: 'rewrites',
): Promise<TreeFacts> {
  const look = { signal, busyElsewhere: () => new Map<string, HostlerError>(), progress: () => undefined };
  return inspectWhole(target, change, look, ports, rewrites);
}

/**
 * Run immediately before the tree is changed: checks that no file in it was opened since it was
 * inspected.
 */
export async function assertNotHeldSince(
  target: ResolvedTarget,
  facts: TreeFacts,
  { signal }: Pick<Run, 'signal'>,
  { trees }: Pick<WholeTreePorts, 'trees'>,
): Promise<void> {
  const held = await trees.heldSince(target, facts, signal);
  if (held !== undefined) throw heldIn(held);
}

function assertNone(found: readonly Dependant[], path: string, mayName: (image: Dependant) => boolean): void {
  const leaving = found.filter(({ loses }) => loses !== undefined && 'elsewhere' in loses);
  const [first] = leaving;
  if (first !== undefined)
    throw new HostlerError(
      'BASE_NAMED_RELATIVELY',
      `${first.path} names its backing file relative to the folder that it would leave`,
      { facts: { path: first.path, count: String(leaving.length) } },
    );
  if (found.length === 0) return;
  // Images that this caller may not see count, but are not named.
  const names = found.filter(mayName).map((image) => image.path);
  throw hasDependants(path, found.length, names);
}

function busyIn(
  address: ImageAddress,
  { key, path }: { readonly key: string; readonly path: string },
  elsewhere: ReadonlyMap<string, HostlerError>,
): HostlerError {
  const busy = elsewhere.get(key);
  return new HostlerError(
    'PATH_BUSY',
    `${address} cannot be moved or removed: ${busy?.message ?? `${path} is being worked on`}`,
    {
      facts: { ...busy?.facts, path },
      ...(busy?.retryAfterMs === undefined ? {} : { retryAfterMs: busy.retryAfterMs }),
    },
  );
}

function heldIn({ path, pid }: HeldFile): HostlerError {
  const who = pid === undefined ? 'a process' : `process ${String(pid)}`;
  return new HostlerError('IMAGE_IN_USE', `${path} is open by ${who}`, {
    facts: { path, ...(pid === undefined ? {} : { pid: String(pid) }) },
  });
}
