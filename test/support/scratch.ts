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
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
    await rm(folder, { recursive: true, force: true });
  });
  return { path: (...names) => join(folder, ...names), onEnd: (cleanUp) => cleanUps.push(cleanUp) };
}
