/**
 * The length limits of request fields. A field is found by its full name, then by its own name; the
 * daemon does not start if a field is in neither list. docs/limits.md is generated from this table.
 */

/** For a string or bytes field. */
export interface TextBound {
  readonly bytes: number;
}
/** For a repeated field. */
export interface ListBound {
  readonly items: number;
  /** For all items together, as on the wire. */
  readonly totalBytes: number;
  /** For one item that is a string or bytes. */
  readonly bytes?: number;
}
/** For a map. */
export interface MapBound {
  readonly entries: number;
  /** For all entries together, as on the wire. */
  readonly totalBytes: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
}
export type Bound = TextBound | ListBound | MapBound;

const text = (bytes: number): TextBound => ({ bytes });

/** Linux's PATH_MAX. */
const PATH = text(4096);
/** A word of the contract: a format, an algorithm, a size with its unit. */
const WORD = text(64);
/** The name of a person or a thing on this host. */
const NAME = text(1024);
/** An id chosen by the daemon or a caller: room for a UUID with a prefix. */
const ID = text(128);
/** An id that can contain the name of a pool or of a file. */
const LONG_ID = text(512);
/** A URL or a token: presigned URLs and Keystone's tokens have some thousand bytes. */
const LONG = text(16_384);
const PASSPHRASE = text(8192);
/** Bytes of an image or file in one message. */
const DATA = text(1024 * 1024);
const LABELS: MapBound = { entries: 64, totalBytes: 16_384, keyBytes: 1024, valueBytes: 1024 };

/** By their own name, in any message. */
const BY_NAME: Readonly<Record<string, Bound>> = {
  algorithm: WORD,
  // A path in an archive.
  archive_member: PATH,
  backed_by: PATH,
  backing_file: PATH,
  backing_format: WORD,
  base: PATH,
  cache_id: LONG_ID,
  caller: NAME,
  compat: WORD,
  cursor: ID,
  data: DATA,
  digest: text(256),
  checksum_url: LONG,
  domain_name: NAME,
  endpoint: LONG,
  export_id: ID,
  first: PATH,
  first_format: WORD,
  format: WORD,
  from: PATH,
  generation: WORD,
  group: NAME,
  host: NAME,
  hostname: PATH,
  image_architecture: NAME,
  image_id: ID,
  instance_relative_path: PATH,
  labels: LABELS,
  mount_path: PATH,
  name: NAME,
  operation_id: ID,
  owner: NAME,
  page_token: LONG_ID,
  passphrase: PASSPHRASE,
  path: PATH,
  peer: NAME,
  pool: NAME,
  request_id: text(512),
  second: PATH,
  second_format: WORD,
  size: WORD,
  snapshot: NAME,
  source: PATH,
  source_format: WORD,
  subformat: WORD,
  target: PATH,
  target_format: WORD,
  to: PATH,
  token: LONG,
  upload_id: ID,
  url: LONG,
  user: NAME,
  uuid: NAME,
  virt_type: WORD,
};

/** By their full name: exceptions, and lists. */
const BY_FULL_NAME: Readonly<Record<string, Bound>> = {
  'grpc.health.v1.HealthCheckRequest.service': NAME,
  'hostler.v1.BatchGetImageInfoRequest.paths': { items: 10_000, totalBytes: 2 * 1024 * 1024, bytes: 4096 },
  'hostler.v1.ChownForIdMapsRequest.gid_maps': { items: 1000, totalBytes: 32_768 },
  'hostler.v1.ChownForIdMapsRequest.uid_maps': { items: 1000, totalBytes: 32_768 },
  'hostler.v1.EvictCachedImagesRequest.cache_ids': { items: 1000, totalBytes: 262_144, bytes: 512 },
  'hostler.v1.ExecuteRequest.args': { items: 256, totalBytes: 1024 * 1024, bytes: 16_384 },
  'hostler.v1.ExecuteRequest.stdin': text(3 * 1024 * 1024),
  // An instance's definition; libvirt's own limit of a string is 16 MiB, real ones have some 10
  // KiB.
  'hostler.v1.FindRootDiskRequest.domain_xml': DATA,
  'hostler.v1.HttpSource.headers': { entries: 64, totalBytes: 65_536, keyBytes: 256, valueBytes: 16_384 },
  'hostler.v1.InventoryFilter.formats': { items: 32, totalBytes: 2048, bytes: 64 },
  // Contains the path of an image, in JSON in base64, with escapes.
  'hostler.v1.ListImagesRequest.page_token': text(32_768),
  'hostler.v1.OperationFilter.methods': { items: 100, totalBytes: 8192, bytes: 128 },
  'hostler.v1.OperationFilter.reasons': { items: 100, totalBytes: 8192, bytes: 128 },
  'hostler.v1.OperationFilter.states': { items: 100, totalBytes: 1024 },
};

/** Reflection's requests, in both versions, contain only names of files and symbols. */
const REFLECTION = /^grpc\.reflection\.v1(?:alpha)?\.[A-Za-z]+\.[a-z_]+$/;

/**
 * The limit of a field, by its full name such as `hostler.v1.ChownRequest.path`; undefined if none
 * is defined.
 */
export function boundOf(fullName: string): Bound | undefined {
  if (Object.hasOwn(BY_FULL_NAME, fullName)) return BY_FULL_NAME[fullName];
  if (REFLECTION.test(fullName)) return NAME;
  const name = fullName.slice(fullName.lastIndexOf('.') + 1);
  return Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
}
