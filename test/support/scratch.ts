import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

export interface Scratch {
  readonly path: (...names: readonly string[]) => string;
  /** Runs before the folder is removed; the last one given runs first. */
  readonly onEnd: (cleanUp: () => Promise<unknown>) => void;
}

/** A folder that is removed when the suite ends. Call inside describe(). */
export function scratchFolder(): Scratch {
  let folder = '';
  const cleanUps: (() => Promise<unknown>)[] = [];
  before(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'hostler-test-')));
  });
  after(async () => {
    // One that fails keeps no other from its work.
    const failures: unknown[] = [];
    for (const cleanUp of [...cleanUps.reverse(), () => rm(folder, { recursive: true, force: true })])
      await cleanUp().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, `cleaning up: ${failures.map(String).join('; ')}`);
  });
  return { path: (...names) => join(folder, ...names), onEnd: (cleanUp) => cleanUps.push(cleanUp) };
}
