import type { FileAttributes } from '../../domain/ports/handles.js';
import { plainRun } from '../../domain/ports/tools.js';
import type { Owners } from './owners.js';

export interface GivenOwner {
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
}

const LOOKUP_MS = 60_000;

/**
 * Attributes with ids instead of names. Fails as `Owners.id` does, naming fields of `attributes`.
 */
export async function givenOwner({ owner, group, mode }: FileAttributes, owners: Owners): Promise<GivenOwner> {
  const run = plainRun(AbortSignal.timeout(LOOKUP_MS));
  return {
    ...(owner === undefined ? {} : { uid: await owners.id('owner', owner, run, 'attributes.owner') }),
    ...(group === undefined ? {} : { gid: await owners.id('group', group, run, 'attributes.group') }),
    ...(mode === undefined ? {} : { mode }),
  };
}
