/** What authorisation and audit need to know of a request, by the table of RPCs. */
import type { AccessRequest, RequestedPlace } from '../domain/access/decide.js';
import type { RpcRow } from './rpc-table.js';

/** An RPC's name in its parts, with its row. */
export interface Rpc {
  /** `hostler.v1.ImageService/CopyImage` */
  readonly name: string;
  readonly row: RpcRow;
}

/** The access that a request, or one message of a stream of requests, needs. */
export function accessRequestOf({ name, row }: Rpc, request: unknown): AccessRequest {
  const [service = '', method = ''] = name.slice(name.lastIndexOf('.') + 1).split('/');
  const command = row.command === undefined ? undefined : textAt(request, row.command);
  const labels = labelsOf(fieldOf(request, 'labels'));
  return {
    service,
    method,
    access: row.access,
    places: placesOf(row, request),
    ...(command === undefined ? {} : { command }),
    ...(labels === undefined ? {} : { labels }),
    ...farPlaceOf(row, request),
    ...farEndOf(row, row.farEnd === undefined ? undefined : textAt(request, row.farEnd)),
  };
}

/** The other host; left out if the RPC has none, or if it is optional and empty. */
export function farEndOf({ farEnd, farEndOptional }: RpcRow, host = ''): Pick<AccessRequest, 'farEnd'> {
  return farEnd === undefined || (farEndOptional === true && host === '') ? {} : { farEnd: host };
}

/** The field whose address lies on another host, if one does. */
function awayOf({ far }: RpcRow, request: unknown): string | undefined {
  const side = far === undefined ? undefined : fieldOf(request, far.sideField);
  return typeof side === 'number' && fieldOf(request, 'remote') !== undefined ? far?.fields[side] : undefined;
}

/** The access to the other host that a request needs. */
function farPlaceOf(row: RpcRow, request: unknown): Pick<AccessRequest, 'far'> {
  const away = awayOf(row, request);
  const need = away === undefined ? undefined : row.addresses[away];
  if (away === undefined || need === undefined) return {};
  const user = textAt(request, 'remote.user');
  const far = {
    address: textAt(request, away) ?? '',
    need,
    host: textAt(request, 'remote.host') ?? '',
    agent: fieldOf(fieldOf(request, 'remote'), 'agent') === true,
  };
  return { far: user === undefined ? far : { ...far, user } };
}

/** The addresses on this host in a request. */
export function placesOf(row: RpcRow, request: unknown): RequestedPlace[] {
  const away = awayOf(row, request);
  const { addresses } = row;
  return Object.entries(addresses).flatMap(([field, need]) => {
    const address = field === away ? undefined : textAt(request, field);
    return address === undefined || address === '' ? [] : [{ address, need }];
  });
}

/** The request id of a request, or of the header that opens a stream of requests. */
export function requestIdOf(request: unknown): string | undefined {
  const id = textAt(request, 'requestId') ?? textAt(request, 'header.requestId');
  return id === '' ? undefined : id;
}

function textAt(message: unknown, path: string): string | undefined {
  const value = path.split('.').reduce(fieldOf, message);
  return typeof value === 'string' ? value : undefined;
}

/**
 * A field of a message of the generated code; a member of a oneof is below the oneof's name, with
 * its own name in `$case`.
 */
function fieldOf(message: unknown, name: string): unknown {
  if (typeof message !== 'object' || message === null) return undefined;
  const entries = Object.entries(message);
  const own = entries.find(([key, value]) => key === name && !isMember(value));
  if (own !== undefined) return own[1];
  return entries.flatMap(([, value]) => (isMember(value) && value.$case === name ? [value.value] : []))[0];
}

function isMember(value: unknown): value is { readonly $case: string; readonly value: unknown } {
  return typeof value === 'object' && value !== null && '$case' in value && 'value' in value;
}

function labelsOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, label]) => (typeof label === 'string' ? [[key, label]] : [])),
  );
}
