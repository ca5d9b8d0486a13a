/**
 * The part of the composition root that searches, after a start, for private folders that no
 * journal knows.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { errnoOf } from '../adapters/linux/errno.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import type { Leftovers } from '../adapters/owned/private-walk.js';
import { writeAtomically } from '../adapters/owned/state-folder.js';
import { ownFile } from '../domain/model/own-files.js';
import { ownText } from '../file-io/own-text.js';
import type { Operations } from '../domain/operations/engine.js';
import type { Resources } from './resources.js';
import type { Targets } from '../domain/ports/targets.js';
import type { SweepLog } from '../adapters/files/staged-file.js';

/**
 * File in the state folder: operations of a lost journal, whose private folders stay until an
 * operator removes them.
 */
export const LEFT_FILE = 'left-folders';

/**
 * Runs in the background after a start, once all resources belong to this daemon. Removes this
 * agent's folders in which no operation works, and reports others.
 */
export function sweep(resources: Resources, targets: Targets, operations: Operations): void {
  sweepNow(resources, targets, operations).catch((error: unknown) =>
    resources.log.error('sweep failed', { cause: errorText(error) }),
  );
}

async function sweepNow(resources: Resources, targets: Targets, operations: Operations) {
  const { state, log, journal, journalMovedAside } = resources;
  // If that fails, the next start spares the same folders as this one.
  await state.settled();
  const before = await readLeft(state.realPath);
  if (before === undefined)
    log.error('the list of folders that are left alone cannot be read: all are left', { file: LEFT_FILE });
  const left = new Set<string>();
  const removed = await targets.sweep((id) => {
    if (operations.live.has(id) || isKept(resources, id)) return true;
    const stays = journalMovedAside || before === undefined || before.has(id);
    if (stays) left.add(id);
    return stays;
  });
  if (removed.length > 0) log.warn('swept', { removed });
  // Written before it is announced: a listener may read it at once.
  await writeLeft(state.realPath, left);
  if (left.size > 0)
    log.warn('private folders of operations that the lost journal may have known are left: hostlerd --list-folders', {
      agent: state.agentId,
      count: left.size,
    });
  await journal.settled();
}

/**
 * An operation that is not running keeps its folder: the next request for the same work resumes it,
 * or another version ends it.
 */
export function isKept({ resumes, journal }: Pick<Resources, 'resumes' | 'journal'>, operationId: string): boolean {
  return resumes.of(operationId) !== undefined || journal.leftToOthers.has(operationId);
}

/**
 * Ids of operations whose folders no sweep removes; undefined if the file holds no list. Fails with
 * OwnFileError.
 */
export async function readLeft(stateFolder: string): Promise<ReadonlySet<string> | undefined> {
  const path = join(stateFolder, LEFT_FILE);
  const text = await ownFile('the folders that are left alone (in state_dir)', path, () => ownText(path));
  try {
    return new Set(z.array(z.string()).parse(JSON.parse(text ?? '[]')));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

async function writeLeft(stateFolder: string, left: ReadonlySet<string>): Promise<void> {
  const path = join(stateFolder, LEFT_FILE);
  if (left.size === 0) {
    await rm(path, { force: true });
    return;
  }
  await writeAtomically(path, JSON.stringify([...left]));
}

/** Reports folders that this daemon may not remove, once at each start. */
export class LeftoverLog implements SweepLog {
  #found: readonly Leftovers[] = [];

  constructor(private readonly log: Log) {}

  get count(): number {
    return this.#found.reduce((sum, { count }) => sum + count, 0);
  }

  get bytes(): number {
    return Number(this.#found.reduce((sum, { bytes }) => sum + bytes, 0n));
  }

  others(found: readonly Leftovers[]): void {
    this.#found = found;
    if (found.length === 0) return;
    this.log.warn('private folders of other agents lie in the roots: see hostlerd --list-folders', {
      count: this.count,
      bytes: this.bytes,
      agents: found.map(({ agent, count, bytes, oldestMs }) => ({
        agent,
        count,
        bytes: String(bytes),
        oldest: new Date(oldestMs).toISOString(),
      })),
    });
  }

  failed(path: string, cause: unknown): void {
    this.log.warn('a place cannot be swept now', { path, cause: errnoOf(cause) ?? errorText(cause) });
  }
}
