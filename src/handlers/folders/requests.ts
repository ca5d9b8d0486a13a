/** Parsers of FileService requests about folders and names. Syntax only. */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { invalidFields } from '../../domain/model/errors.js';
import type { CreateDirectorySpec } from '../../domain/folders/create-directory.js';
import type { ListDirectorySpec } from '../../domain/folders/list-directory.js';
import { isInItself, type MoveFileSpec } from '../../domain/folders/move-file.js';
import type { RemoveDirectorySpec } from '../../domain/folders/remove-directory.js';
import { address, ask, attributes, parseRequest, parseVerb } from '../fields.js';
import type { Parsed } from '../running.js';

const DEFAULT_PAGE = 1000;
const MAX_PAGE = 2000;
/** Length of the digest in a token, which binds it to its folder. */
const MARK_BYTES = 8;
/** Linux's NAME_MAX. */
const MAX_NAME_BYTES = 255;
const [NUL, SLASH] = [0, 0x2f];

const create = z.object({ path: address, parents: z.boolean(), attributes });
/** CreateDirectory as a spec. Fails with INVALID_FIELD, as all parsers here. */
export function parseCreateDirectory(request: unknown): Parsed<CreateDirectorySpec> {
  const { path, ...rest } = parseVerb(create, request);
  return { spec: { address: path, ...rest }, ask: parseRequest(ask, request) };
}

const remove = z.object({ path: address, recursive: z.boolean(), missingOk: z.boolean() });
/** RemoveDirectory as a spec. */
export function parseRemoveDirectory(request: unknown): Parsed<RemoveDirectorySpec> {
  const { path, ...rest } = parseVerb(remove, request);
  return { spec: { address: path, ...rest }, ask: parseRequest(ask, request) };
}

const move = z
  .object({ source: address, target: address, overwrite: z.boolean(), rewriteBackingFiles: z.boolean() })
  .refine((given) => !isInItself(given), { path: ['target'], error: 'lies in `source`' })
  .refine(({ overwrite, rewriteBackingFiles }) => !(overwrite && rewriteBackingFiles), {
    path: ['rewriteBackingFiles'],
    error: 'not together with overwrite',
  });
/** MoveFile as a spec. */
export function parseMoveFile(request: unknown): Parsed<MoveFileSpec> {
  return { spec: parseVerb(move, request), ask: parseRequest(ask, request) };
}

const list = z.object({ path: address, pageSize: z.int(), pageToken: z.string() });
/** ListDirectory as a spec. */
export function parseListDirectory(request: unknown): ListDirectorySpec {
  const { path, pageSize, pageToken } = parseRequest(list, request);
  const size = Math.min(pageSize === 0 ? DEFAULT_PAGE : pageSize, MAX_PAGE);
  if (pageToken === '') return { address: path, size };
  const after = nameIn(pageToken, path);
  if (after === undefined)
    throw invalidFields([{ field: 'page_token', description: 'must be a next_page_token of this folder' }]);
  return { address: path, size, after };
}

/** The token of the page after this name. */
export function tokenOf(name: Uint8Array, path: string): string {
  return Buffer.concat([markOf(name, path), name]).toString('base64url');
}

/** Undefined if it is not a token of this folder. */
function nameIn(token: string, path: string): Buffer | undefined {
  const bytes = Buffer.from(token, 'base64url');
  const name = bytes.subarray(MARK_BYTES);
  const isName = name.length > 0 && name.length <= MAX_NAME_BYTES && !name.includes(NUL) && !name.includes(SLASH);
  return isName && tokenOf(name, path) === token ? name : undefined;
}

function markOf(name: Uint8Array, path: string): Buffer {
  return createHash('sha256').update(`${path}\0`).update(name).digest().subarray(0, MARK_BYTES);
}
