/** ListImages and WatchImages: parse, one domain call, map. */
import * as z from 'zod';
import { listImages, type InventoryPorts } from '../../domain/inventory/list-images.js';
import type { ListedImage, ListSpec } from '../../domain/inventory/list-spec.js';
import { watchImages, type Changes, type ImageWatchSpec } from '../../domain/inventory/watch-images.js';
import { asAddress, isRbd, parseAddress, parsePoolAddress } from '../../domain/model/address.js';
import type { Generation, InventoryPosition } from '../../domain/ports/inventory.js';
import type { ImageServiceService } from '../../gen/hostler/v1/image_service.js';
import { ImageChangeKind, InventoryImage } from '../../gen/hostler/v1/inventory.js';
import { timeOfNs } from '../../protocol/times.js';
import { address, defined, format, orUnset, parseRequest, parsedField } from '../fields.js';
import { mapStream, type Handlers } from '../handler.js';
import type { Whole } from '../messages/whole.js';
import { pageOf } from '../pages.js';

const [DEFAULT_PAGE, MAX_PAGE] = [100, 1000];
const TOKEN = 'must be a next_page_token';

const number = z.number().int().nonnegative();
const position = z.tuple([z.string(), number, z.string(), z.string()]);
const pageToken = parsedField<z.ZodString, { readonly from?: InventoryPosition }>(z.string(), (token) => {
  if (token === '') return {};
  const { data } = position.safeParse(jsonIn(token));
  if (data === undefined) return { problem: TOKEN };
  const [life, at, folder, name] = data;
  return { from: { life, number: at, folder, name } };
});
const generation = parsedField<z.ZodString, { readonly since?: Generation }>(z.string(), (text) => {
  if (text === '') return {};
  const [, life, at] = /^([0-9a-f]{16})\.(\d{1,15})$/.exec(text) ?? [];
  if (life === undefined) return { problem: 'must be a generation of a list or watch' };
  return { since: { life, number: Number(at) } };
});
const filter = z
  .object({
    formats: z.array(format),
    hasDependants: z.boolean().optional(),
    unwrittenSince: z.object({ seconds: z.bigint(), nanos: z.number() }).optional(),
    backedBy: orUnset(address),
    inUse: z.boolean().optional(),
    orphaned: z.boolean().optional(),
    operationId: orUnset(z.string()),
    labels: z.record(z.string(), z.string()),
  })
  .optional()
  .transform(({ formats, labels, unwrittenSince, ...rest } = { formats: [], labels: {} }) => ({
    ...{ formats, labels },
    ...defined({
      ...rest,
      unwrittenSinceNs:
        unwrittenSince && unwrittenSince.seconds * 1_000_000_000n + BigInt(Math.trunc(unwrittenSince.nanos)),
    }),
  }));
/** A folder or file, or a pool or its namespace. */
const place = parsedField(z.string(), (path) => {
  if (!isRbd(path)) return parseAddress(path);
  const pool = parsePoolAddress(path);
  return 'problem' in pool ? pool : asAddress(path);
});
const list = z
  .object({ path: place, flat: z.boolean(), filter, pageSize: z.number().min(1).optional(), pageToken })
  .transform(({ path, flat, filter: wanted, pageSize = DEFAULT_PAGE, pageToken: { from } }): ListSpec => ({
    address: path,
    flat,
    filter: wanted,
    size: Math.min(pageSize, MAX_PAGE),
    ...defined({ from }),
  }));
const watch = z
  .object({ path: place, flat: z.boolean(), generation })
  .transform(({ path, flat, generation: { since } }): ImageWatchSpec => ({
    address: path,
    flat,
    ...defined({ since }),
  }));

export type InventoryHandlers = Pick<Handlers<typeof ImageServiceService>, 'listImages' | 'watchImages'>;

/** The handlers of the inventory. */
export function inventoryHandlers(ports: InventoryPorts): InventoryHandlers {
  return {
    async listImages(request, caller) {
      const page = await listImages(parseRequest(list, request), caller, ports);
      const images = await pageOf(page.images, inventoryImage, (each) => InventoryImage.encode(each), caller.signal);
      const cut = images.length < page.images.length ? page.images[images.length - 1] : undefined;
      const next = cut === undefined ? page.next : cut.position;
      return {
        images,
        nextPageToken: next === undefined ? '' : tokenOf(next),
        generation: page.generation === undefined ? '' : textOf(page.generation),
        unseen: page.unseen.map(({ path, why }) => ({ path, why })),
      };
    },
    async *watchImages(request, caller) {
      yield* mapStream(watchImages(parseRequest(watch, request), caller, ports), ({ changes, generation: upTo }) => ({
        changes: changes.map(imageChange),
        generation: textOf(upTo),
      }));
    },
  };
}

function inventoryImage({ path, rawPath, facts, madeBy, hold, ...rest }: ListedImage): Whole<InventoryImage> {
  const { allocatedBytes, dependants, orphaned } = rest;
  return {
    path,
    rawPath: rawPath === undefined ? undefined : Buffer.from(rawPath),
    format: facts.format,
    virtualSizeBytes: facts.virtualSizeBytes,
    fileLengthBytes: facts.lengthBytes,
    allocatedBytes,
    backingFile: facts.backingFile,
    backingFormat: facts.backingFormat,
    encrypted: facts.encrypted,
    dirty: facts.dirty,
    corrupt: facts.corrupt,
    modifyTime: facts.modifyTimeNs === undefined ? undefined : timeOfNs(facts.modifyTimeNs),
    dependants,
    findings: [...facts.findings],
    malformed: facts.malformed,
    inUse: hold !== undefined,
    holderPid: hold?.pid,
    orphaned,
    operationId: madeBy?.operationId ?? '',
    labels: { ...madeBy?.labels },
  };
}

const KINDS = {
  created: ImageChangeKind.IMAGE_CHANGE_KIND_CREATED,
  changed: ImageChangeKind.IMAGE_CHANGE_KIND_CHANGED,
  removed: ImageChangeKind.IMAGE_CHANGE_KIND_REMOVED,
} as const;

function imageChange({ kind, path, rawPath, image }: Changes['changes'][number]) {
  return {
    kind: KINDS[kind],
    path,
    rawPath: rawPath === undefined ? undefined : Buffer.from(rawPath),
    image: image === undefined ? undefined : inventoryImage(image),
  };
}

function tokenOf({ life, number: at, folder, name }: InventoryPosition): string {
  return Buffer.from(JSON.stringify([life, at, folder, name])).toString('base64url');
}

function jsonIn(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // not a token of this service
    throw error;
  }
}

function textOf({ life, number: at }: Generation): string {
  return `${life}.${String(at)}`;
}
