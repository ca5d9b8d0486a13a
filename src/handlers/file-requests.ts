/** Parsers of FileService requests. Syntax only; paths are resolved by the domain. */
import * as z from 'zod';
import type { DeleteSpec } from '../domain/verbs/delete-image.js';
import { HostlerError, invalidFields } from '../domain/model/errors.js';
import type { ChownSpec, ShiftSpec } from '../domain/files/chown.js';
import type { OwnerNames } from '../domain/ports/files.js';
import type { ReadFileSpec } from '../domain/files/read-file.js';
import type { TouchSpec } from '../domain/files/touch-file.js';
import type { WriteFileSpec } from '../domain/files/write-file.js';
import type { WriteFileRequest } from '../gen/hostler/v1/file_service.js';
import { address, ask, parsedField, defined, parseRequest, parseVerb, requestId } from './fields.js';
import { attachedAsk, type Parsed } from './running.js';

/** The highest id that is not "no change" to chown(2). */
const MAX_ID = 2 ** 32 - 2;
const DEFAULT_MAP = { start: 0, target: 0, count: 10_000 };
const MAX_MAPS = 1000;
const MAX_UMASK = 0o777;
/** The kernel's limit for the length of a file. */
const MAX_OFFSET = 2n ** 63n - 1n;

const offset = z.bigint().refine((value) => value <= MAX_OFFSET, 'must be at most 2^63-1');

/** `user`, `user:group` or `:group`. */
const owner = parsedField<z.ZodString, OwnerNames>(z.string(), (text) => {
  const [user = '', group, ...more] = text.split(':');
  const problem = { problem: 'must be USER, USER:GROUP or :GROUP, by name or number' };
  if (more.length > 0 || group === '' || (user === '' && group === undefined)) return problem;
  const names = [user, group].filter((name) => name !== undefined && name !== '');
  for (const name of names) {
    if (name === undefined || !/^[^\s,\0-][^\s,\0]{0,255}$/.test(name)) return problem;
    if (/^\d+$/.test(name) && Number(name) > MAX_ID) return { problem: `must be at most ${String(MAX_ID)}` };
  }
  return { ...(user === '' ? {} : { user }), ...(group === undefined ? {} : { group }) };
});

const chown = z.object({ path: address, owner, recursive: z.boolean() });
/**
 * Chown as a spec; the owner is user, user:group or :group. Fails with INVALID_FIELD, as all
 * parsers here.
 */
export function parseChown(request: unknown): Parsed<ChownSpec> {
  const { path, ...rest } = parseVerb(chown, request);
  return { spec: { address: path, ...rest }, ask: parseRequest(ask, request) };
}

const idMap = z
  .object({
    start: z.int().optional(),
    target: z.int().optional(),
    count: z.int().min(1, 'must be more than 0').optional(),
  })
  .transform((given) => ({ ...DEFAULT_MAP, ...defined(given) }))
  .superRefine(({ start, target, count }, context) => {
    for (const [field, first] of Object.entries({ start, target }))
      if (first + count - 1 > MAX_ID)
        context.addIssue({
          code: 'custom',
          path: [field],
          message: `${field} + count reaches beyond ${String(MAX_ID)}`,
        });
  });
const idMaps = z.array(idMap).max(MAX_MAPS, `more than ${String(MAX_MAPS)} maps`);
const shift = z.object({ path: address, uidMaps: idMaps, gidMaps: idMaps });
/** ChownForIdMaps as a spec; a map without numbers is DEFAULT_MAP. */
export function parseShift(request: unknown): Parsed<ShiftSpec> {
  const { path, ...rest } = parseVerb(shift, request);
  return { spec: { address: path, ...rest }, ask: parseRequest(ask, request) };
}

const remove = z.object({ path: address, missingOk: z.boolean(), requestId });
/** DeleteFile as a spec; an image that is in use or backs others is never deleted this way. */
export function parseDeleteFile(request: unknown): Parsed<DeleteSpec> {
  const { path, missingOk, requestId: id } = parseRequest(remove, request);
  return { spec: { address: path, missingOk, allowInUse: false, allowDependants: false }, ask: attachedAsk(id) };
}

const touch = z.object({ path: address, requestId });
/** TouchFile as a spec. */
export function parseTouch(request: unknown): Parsed<TouchSpec> {
  const { path, requestId: id } = parseRequest(touch, request);
  return { spec: { address: path }, ask: attachedAsk(id) };
}

const stat = z.object({ path: address });
/** StatFile: the address. */
export const parseStat = (request: unknown) => parseRequest(stat, request).path;

const read = z.object({ path: address, offset, length: offset.optional() });
/** ReadFile as a spec; offset and length in bytes, no length means up to the end. */
export function parseRead(request: unknown): ReadFileSpec {
  const { path, ...rest } = parseRequest(read, request);
  return { address: path, ...defined(rest) };
}

const header = z
  .object({
    path: address,
    umask: z.int().max(MAX_UMASK, 'must be at most 0777').optional(),
    offset: z
      .bigint()
      .refine((value) => value <= BigInt(Number.MAX_SAFE_INTEGER), 'must be at most 2^53-1')
      .optional(),
    append: z.boolean(),
    requestId,
  })
  .refine((given) => given.offset === undefined || !given.append, {
    path: ['append'],
    error: 'not together with offset',
  });

/** The header from the first message, and the data of all others. */
export async function parseWrite(
  requests: AsyncIterable<WriteFileRequest>,
): Promise<Parsed<WriteFileSpec> & { readonly data: AsyncIterable<Uint8Array> }> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  const content = first.done === true ? undefined : first.value.content;
  if (content?.$case !== 'header')
    throw invalidFields([{ field: 'header', description: 'the first message must be the header' }]);
  const given = parseRequest(header, content.value);
  const at: WriteFileSpec['at'] = given.append ? 'end' : given.offset;
  const spec = { address: given.path, digest: given.requestId !== '', ...defined({ umask: given.umask, at }) };
  return { spec, ask: attachedAsk(given.requestId), data: dataOf(messages) };
}

async function* dataOf(messages: AsyncIterator<WriteFileRequest>): AsyncGenerator<Uint8Array, void> {
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const { content } = next.value;
    if (content?.$case !== 'data')
      throw invalidFields([{ field: 'data', description: 'every message after the first must be data' }]);
    yield content.value;
  }
}

/** Fails with REQUEST_ID_REUSED if a repeated request has other data than the original. */
export function assertSameData(id: string, written: string | undefined, sent: string): void {
  if (written !== sent)
    throw new HostlerError('REQUEST_ID_REUSED', `request id ${id} was used with other data`, {
      facts: { request_id: id },
    });
}
