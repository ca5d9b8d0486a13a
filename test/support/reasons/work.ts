/**
 * A good request of every RPC that works on files, with the roles of its fields: tests spoil one of
 * them.
 */
import { requestOf } from '../descriptors.js';
import { RPCS, type Message, type Stranger } from '../stranger.js';

/** Fields of a request by what lies there; `source.file.path` leads into messages. */
export interface Work {
  /** An image that is only read. */
  readonly reads?: string;
  /** A file that is changed or removed where it is. */
  readonly changes?: string;
  /** A file that is made. */
  readonly makes?: string;
  readonly rest?: Message;
}

const qcow2 = { format: 'qcow2' };
const named = { ...qcow2, snapshot: 'one' };
const limit = { max_size_bytes: String(1 << 30) };

export const WORK: Readonly<Record<string, Work>> = {
  GetImageInfo: { reads: 'path', rest: qcow2 },
  ListImages: { reads: 'path' },
  WatchImages: { reads: 'path' },
  DetectDiskType: { reads: 'path' },
  MapImage: { reads: 'path', rest: qcow2 },
  MeasureImage: { reads: 'path', rest: { ...qcow2, target_format: 'raw' } },
  ListSnapshots: { reads: 'path', rest: qcow2 },
  DownloadImage: { reads: 'path' },
  CreateImage: { makes: 'path', rest: { ...qcow2, size: '1M' } },
  CreateOverlay: { reads: 'backing_file', makes: 'path', rest: { backing_format: 'qcow2', allow_chain: true } },
  ConvertImage: { reads: 'source', makes: 'target', rest: { source_format: 'qcow2', target_format: 'raw' } },
  ExtractSnapshot: { reads: 'path', makes: 'target', rest: { source_format: 'qcow2', target_format: 'raw' } },
  CopyImage: { reads: 'source', makes: 'target' },
  FetchImage: {
    ...{ reads: 'source.file.path', makes: 'target' },
    rest: { source_format: 'qcow2', target_format: 'raw', ...limit },
  },
  FetchRawImage: { reads: 'source.file.path', makes: 'target', rest: limit },
  /** What it fetches is given where a server is. */
  PrefetchImage: { rest: { source_format: 'qcow2', target_format: 'qcow2', ...limit } },
  EvictCachedImages: { rest: { target_bytes: '0' } },
  PinCachedImage: { rest: { cache_id: `${'0'.repeat(24)}-${'0'.repeat(26)}`, pinned: true } },
  Execute: { rest: { name: 'true' } },
  FindRootDisk: { rest: { domain_name: 'none' } },
  StartUpload: { makes: 'target', rest: { ...qcow2, length_bytes: '65536' } },
  ResizeImage: { changes: 'path', rest: { ...qcow2, size: '16M' } },
  RebaseImage: { changes: 'path', rest: qcow2 },
  CommitImage: { changes: 'path', rest: qcow2 },
  CheckImage: { reads: 'path', rest: qcow2 },
  DigestImage: { reads: 'path' },
  CompareImages: { reads: 'first', rest: { first_format: 'qcow2', second_format: 'raw' } },
  WipeImage: { changes: 'path', rest: { mode: 'WIPE_MODE_ZERO' } },
  DeleteImage: { changes: 'path' },
  CreateSnapshot: { changes: 'path', rest: { ...qcow2, snapshot: 'two' } },
  DeleteSnapshot: { changes: 'path', rest: named },
  RevertSnapshot: { changes: 'path', rest: named },
  OpenExport: { reads: 'path', rest: { peer: 'agent-b' } },
  GetFilesystemInfo: { reads: 'path' },
  WatchFilesystem: { reads: 'path' },
  Chown: { changes: 'path', rest: { owner: '12345' } },
  ChownForIdMaps: { changes: 'path', rest: { uid_maps: [{ start: 0, target: 100_000, count: 1000 }] } },
  DeleteFile: { changes: 'path' },
  TouchFile: { changes: 'path' },
  StatFile: { reads: 'path' },
  ReadFile: { reads: 'path' },
  WriteFile: { makes: 'header.path' },
  CreateDirectory: { makes: 'path' },
  /** Of a folder. */
  RemoveDirectory: { changes: 'path', rest: { recursive: true } },
  /** Of a folder. */
  ListDirectory: { reads: 'path' },
  MoveFile: { changes: 'source', makes: 'target' },
};

/** RPCs that take a folder where others take an image. */
export const OF_FOLDERS: readonly string[] = ['RemoveDirectory', 'ListDirectory'];

/** What makes them look up a name with a tool. */
const NAMED: Readonly<Record<string, Message>> = {
  Chown: { owner: 'somebody' },
  CreateDirectory: { attributes: { owner: 'somebody' } },
};

/** What the daemon does not do by itself: what is too large for its clusters a tool refuses. */
export const BY_TOOL: Readonly<Record<string, Message>> = {
  ...NAMED,
  CreateImage: { preallocation: 'PREALLOCATION_METADATA' },
  CreateOverlay: { size: '4096T' },
};

/** The address that a role has in a call; those that are left out get a good one. */
export interface Addresses {
  readonly reads: string;
  readonly changes: string;
  readonly makes: string;
  /** What CompareImages compares with. */
  readonly other: string;
}

/** The request of an RPC with these addresses. */
export function requestFor(rpc: string, addresses: Addresses, more: Message = {}): Message {
  const { rest = {}, ...roles } = WORK[rpc] ?? {};
  const given = Object.entries(roles).reduce<Message>(
    (request, [role, field]) => put(request, field.split('.'), addresses[role as keyof typeof roles]),
    rpc === 'CompareImages' ? { ...rest, second: addresses.other } : { ...rest },
  );
  if (rpc !== 'WriteFile') return { ...given, ...more };
  return { header: { ...(given['header'] as Message), ...more } };
}

/** The request of an RPC that works on one image. */
export function requestOn(rpc: string, image: string): Message {
  return requestFor(rpc, { reads: image, changes: image, makes: image, other: image });
}

/** Their good requests say too little of what has to be there, or of what becomes of it. */
const NOT_PLAIN = ['RebaseImage', 'CommitImage', 'ResizeImage', 'DeleteImage'];

/** RPCs that change one image where it is, whatever is in it. */
export function plainChanges(): string[] {
  const names = RPCS.filter(({ rpc }) => rpc.startsWith('ImageService/')).map(({ rpc }) => rpc.replace(/.*\//, ''));
  return names.filter((rpc) => WORK[rpc]?.changes !== undefined && !NOT_PLAIN.includes(rpc));
}

/** Whether the request says in which format an image is that it works on. */
export function takesFormat(name: string): boolean {
  const found = RPCS.find(({ rpc }) => rpc.endsWith(`/${name}`));
  return found !== undefined && requestOf(found.rpc).fields.some((field) => field.name === 'format');
}

/** Whether the image that a good request works on is a qcow2; otherwise it is raw. */
export function isOfQcow2(rpc: string): boolean {
  const { format, source_format, first_format, backing_format } = WORK[rpc]?.rest ?? {};
  return [format, source_format, first_format, backing_format].includes('qcow2');
}

function put(request: Message, [name = '', ...path]: readonly string[], value: string): Message {
  return {
    ...request,
    [name]: path.length === 0 ? value : put((request[name] as Message | undefined) ?? {}, path, value),
  };
}

/** Calls an RPC by its short name, whatever streams in it. Fails with CallError. */
export async function callByName(stranger: Stranger, name: string, request: Message): Promise<unknown> {
  const found = RPCS.find(({ rpc }) => rpc.endsWith(`/${name}`));
  if (found === undefined) throw new Error(`no RPC ${name}`);
  const { rpc, requestStream, responseStream } = found;
  if (requestStream) return stranger.send(rpc, [request, { data: Buffer.alloc(512) }]);
  return responseStream ? stranger.all(rpc, request) : stranger.unary(rpc, request);
}
