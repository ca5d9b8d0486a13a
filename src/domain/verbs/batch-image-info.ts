import { parseAddress, type ImageAddress } from '../model/address.js';
import type { Caller } from '../access/caller.js';
import type { PathScope } from '../access/path-scope.js';
import { turnsEvery } from '../model/async.js';
import { asHostlerError, invalidFields, type HostlerError } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageInfo } from '../model/image-info.js';
import { getImageInfo, type InfoPorts, type SharedLooks } from './get-image-info.js';
import { KnownBases } from '../images/known-bases.js';
import type { ReadCallLimit } from './read-call-limit.js';

export interface BatchSpec {
  /** Unchecked: each is checked by itself. */
  readonly paths: readonly string[];
  /** Undeclared: each is detected. */
  readonly format?: ImageFormat;
  /** Only with a format. */
  readonly backingChain: boolean;
}

/** The image and the layers below it, nearest first, or why it cannot be described. */
export type DescribedOne =
  | { readonly images: readonly [ImageInfo, ...ImageInfo[]]; readonly error?: never }
  | { readonly images?: never; readonly error: HostlerError };

export interface BatchPorts extends InfoPorts {
  readonly readers: ReadCallLimit;
  readonly scope: PathScope;
}

/**
 * Images that are read in parallel: a network filesystem or a cluster can work on one while another
 * is awaited; local files are read in one turn, in half a millisecond. Each may take some MiB, for
 * thousands of snapshots.
 */
const AT_ONCE = 4;
/** After this time other work gets a turn. */
const TURN_MS = 2;

/**
 * The facts of each of many images, in the order of the spec, a few at a time. A path that cannot
 * be described gets an error and does not affect the others. Fails with TOO_MANY_OPERATIONS,
 * CALLER_AT_LIMIT, and with the signal's reason.
 */
export async function* batchImageInfo(
  spec: BatchSpec,
  caller: Caller,
  ports: BatchPorts,
): AsyncGenerator<readonly DescribedOne[], void> {
  const leave = ports.readers.enter(caller.identity);
  const shared: SharedLooks = { folders: ports.shareFolders(), bases: new KnownBases() };
  try {
    const takeTurns = turnsEvery(TURN_MS);
    // The first chain is read alone: others may share its bases, which are then known.
    for (let at = 0, next = spec.backingChain ? 1 : AT_ONCE; at < spec.paths.length; at = next, next += AT_ONCE) {
      caller.signal.throwIfAborted();
      yield await Promise.all(
        spec.paths.slice(at, next).map((path) => describeOne(path, spec, { ports, shared, caller })),
      );
      await takeTurns();
    }
  } finally {
    await shared.folders.close();
    leave();
  }
}

async function describeOne(
  path: string,
  spec: BatchSpec,
  { ports, shared, caller }: { readonly ports: BatchPorts; readonly shared: SharedLooks; readonly caller: Caller },
): Promise<DescribedOne> {
  try {
    const address = addressOf(path);
    // The checks that refuse a single call before anything is read.
    ports.scope.assert({ address, need: 'read' });
    return { images: await getImageInfo({ ...spec, address }, ports, shared) };
  } catch (cause) {
    const error = asHostlerError(cause);
    // A bug is logged, as for a failed call.
    if (error.reason === 'BUG') throw error;
    if (error.shown.code === 'PERMISSION_DENIED') caller.onDenied?.(path);
    return { error };
  }
}

function addressOf(path: string): ImageAddress {
  const parsed = parseAddress(path);
  if (typeof parsed === 'string') return parsed;
  throw invalidFields([{ field: 'paths', description: parsed.problem }]);
}
