/** Parsers of the output of `rbd` and `ceph`. */
import * as z from 'zod';
import { rbdAddress, type ImageAddress } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { SnapshotFacts } from '../../domain/model/image-info.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

const whole = z.number().transform(BigInt);

const parent = z.object({
  pool: z.string(),
  pool_namespace: z.string(),
  image: z.string(),
  snapshot: z.string(),
});
const info = z.object({
  id: z.string(),
  size: whole,
  object_size: whole,
  snapshot_count: z.number(),
  create_timestamp: z.string(),
  modify_timestamp: z.string(),
  protected: z.stringbool().optional(),
  features: z.array(z.string()),
  flags: z.array(z.string()),
  parent: parent.optional(),
});
export type RbdInfo = z.output<typeof info>;

/** `rbd info --format json`. Fails with TOOL_FAILED when a field is missing. */
export function parseInfo(text: string): RbdInfo {
  return parse(info, text);
}

/**
 * Whether the cluster has a map of the image's objects; without it, it would check each of them.
 */
export function hasObjectMap({ features, flags }: RbdInfo): boolean {
  return features.includes('fast-diff') && flags.length === 0;
}

/** The snapshot that the image is a clone of; undefined for an image without a parent. */
export function parentAddress({ parent: from }: Pick<RbdInfo, 'parent'>): ImageAddress | undefined {
  if (from === undefined) return undefined;
  const { pool, pool_namespace: namespace, image, snapshot } = from;
  return rbdAddress({ pool, namespace, image, snapshot });
}

/** The image that has that snapshot. */
export function parentImage({ parent: from }: Pick<RbdInfo, 'parent'>): ImageAddress | undefined {
  if (from === undefined) return undefined;
  const { pool, pool_namespace: namespace, image } = from;
  return rbdAddress({ pool, namespace, image });
}

const usage = z.object({ images: z.array(z.object({ name: z.string(), used_size: whole })) });
/** Includes the snapshots: each entry is what that snapshot added. */
export function parseUsedBytes(text: string): bigint {
  return parse(usage, text).images.reduce((sum, { used_size: used }) => sum + used, 0n);
}

/** The same for each image of a pool, by its name. */
export function parseUsedBytesByImage(text: string): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { name, used_size: used } of parse(usage, text).images) sums.set(name, (sums.get(name) ?? 0n) + used);
  return sums;
}

const list = z.array(
  z.object({
    image: z.string(),
    id: z.string(),
    size: whole,
    snapshot: z.string().optional(),
    parent: parent.optional(),
    lock_type: z.string().optional(),
  }),
);
export type ListedRbdImage = z.output<typeof list>[number];

/** Images from `rbd ls --long --format json`, without the rows of their snapshots. */
export function parseList(text: string): ListedRbdImage[] {
  return parse(list, text).filter(({ snapshot }) => snapshot === undefined);
}

const snapshots = z.array(
  z.object({
    id: z.number(),
    name: z.string(),
    size: whole,
    protected: z.stringbool(),
    timestamp: z.string(),
  }),
);
/** `rbd snap ls --format json`: sizes in bytes, times in ms since the epoch. */
export function parseSnapshots(text: string): (SnapshotFacts & { readonly protected: boolean })[] {
  return parse(snapshots, text).map(({ id, name, size, timestamp, protected: kept }) => ({
    id: String(id),
    name,
    createTimeMs: parseTimeMs(timestamp),
    virtualSizeBytes: size,
    vmStateBytes: 0n,
    protected: kept,
  }));
}

const status = z.object({ watchers: z.array(z.object({ address: z.string() })) });
/** Addresses of the clients that have the image open for writing. */
export function parseWatchers(text: string): string[] {
  return parse(status, text).watchers.map(({ address }) => address);
}

const children = z.array(
  z.object({ pool: z.string(), pool_namespace: z.string(), image: z.string(), id: z.string().default('') }),
);
/** `rbd children --format json`. `id` is empty where the rbd of the host does not report it. */
export function parseChildren(text: string): { readonly address: ImageAddress; readonly id: string }[] {
  return parse(children, text).map(({ pool, pool_namespace: namespace, image, id }) => ({
    address: rbdAddress({ pool, namespace, image }),
    id,
  }));
}

const notes = z.record(z.string(), z.string());
/** The metadata of an image, by key. */
export function parseNotes(text: string): Readonly<Record<string, string>> {
  return parse(notes, text);
}

const names = z.array(z.string());
/** Names of images from `rbd ls --format json`. */
export function parseNames(text: string): string[] {
  return parse(names, text);
}

const namespaces = z.array(z.object({ name: z.string() }));
/** Names of namespaces from `rbd namespace ls --format json`. */
export function parseNamespaces(text: string): string[] {
  return parse(namespaces, text).map(({ name }) => name);
}

const usages = z.object({
  pools: z.array(z.object({ name: z.string(), stats: z.object({ stored: whole, max_avail: whole }) })),
});
/** Bytes of a pool's images, and bytes that it can still take; replicas are counted once. */
export function parsePoolSpace(
  text: string,
  pool: string,
): { readonly usedBytes: bigint; readonly freeBytes: bigint } | undefined {
  const found = parse(usages, text).pools.find(({ name }) => name === pool)?.stats;
  return found === undefined ? undefined : { usedBytes: found.stored, freeBytes: found.max_avail };
}

/** `Wed Nov 25 02:04:41 2026`, in the time zone that the tool was given: UTC. */
export function parseTimeMs(text: string): number {
  return Date.parse(`${text} UTC`);
}

/** `Image flatten: 10% complete...` as a fraction, when the text has one; the last one counts. */
export function parsePercent(text: string): number | undefined {
  const last = [...text.matchAll(/(\d{1,3})% complete/g)].at(-1)?.[1];
  return last === undefined ? undefined : Number(last) / 100;
}

function parse<S extends z.ZodType>(schema: S, text: string): z.output<S> {
  const result = schema.safeParse(json(text));
  if (result.success) return result.data;
  throw new HostlerError('TOOL_FAILED', 'rbd printed output of an unknown form', { cause: result.error });
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON, so not a known output; the caller reports it
  }
}

const NO_ENTRY = 2;
/** Exit codes are errnos. */
const REASONS: Readonly<Record<number, Reason>> = {
  1: 'ACCESS_DENIED',
  2: 'IMAGE_NOT_FOUND',
  13: 'ACCESS_DENIED',
  16: 'IMAGE_IN_USE',
  17: 'TARGET_EXISTS',
  28: 'NO_SPACE',
  30: 'ROOT_READ_ONLY',
  95: 'UNSUPPORTED_BY_BACKEND',
  110: 'ROOT_STALLED',
  122: 'NO_SPACE',
};

/** Messages that are more specific than the exit code. */
const MEANINGS: readonly (readonly [RegExp, Reason])[] = [
  [/error opening (?:default )?pool|pool .* does not exist|namespace.*does not exist/i, 'POOL_NOT_FOUND'],
  [
    /couldn't connect to the cluster[^]*Permission denied|Operation not permitted|handle_auth_bad_method/,
    'ACCESS_DENIED',
  ],
];

/**
 * The error of a failed `rbd` or `ceph`: the reason by its message, then by its exit code,
 * otherwise TOOL_FAILED. `what` is the address or name for the message.
 */
export function rbdError(
  tool: string,
  what: string,
  {
    code,
    signal,
    stderr,
  }: { readonly code: number | undefined; readonly signal: string | undefined; readonly stderr: string },
): HostlerError {
  const last = lastLine(stderr);
  const end = code === undefined ? `signal ${signal ?? 'unknown'}` : `exit code ${String(code)}`;
  // `ceph` is not called for an image, so its exit code 2 means a missing configuration or keyring.
  const byCode = tool === 'ceph' && code === NO_ENTRY ? undefined : REASONS[code ?? 0];
  const reason = MEANINGS.find(([pattern]) => pattern.test(stderr))?.[1] ?? byCode ?? 'TOOL_FAILED';
  return new HostlerError(reason, `${what}: ${last === '' ? end : last}`, {
    facts: { path: what, tool, end, stderr: last },
    cause: stderr,
  });
}

/** Progress is on the same stream, separated by \r. */
function lastLine(stderr: string): string {
  const lines = stderr.split(/[\r\n]+/).filter((line) => line.trim() !== '' && parsePercent(line) === undefined);
  return lines.at(-1)?.slice(0, 500) ?? '';
}
