import { traits } from '../../domain/model/image-format.js';
import type { Layout } from '../../domain/model/image-layout.js';
import { clusterKeys } from './rbd-node.js';
import type { Arg } from '../process/tool-call.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type { Chain, ConvertRequest, CreateRequest, Layer, MeasureOf } from '../../domain/ports/tools.js';
import { chainName, node, escapeOption, fileOptions } from './qemu-nodes.js';

/**
 * Requests in flight inside one qemu-img convert; more brings nothing, fewer costs up to 3x
 * (measured).
 */
const REQUESTS = 16;
/** Maximum size of one request (IO_BUF_SIZE in qemu-img.c). */
const REQUEST_BYTES = 2 * 1024 * 1024;
/** This many requests keep up with a rate limit: each completes in an eighth of a second. */
const REQUESTS_A_SECOND = 8;
const TARGET_SECRET = 'target-secret';

/** `create` has no --image-opts: the target is an absolute path, which qemu takes literally. */
export function createArgs(target: FileRef, request: CreateRequest): Arg[] {
  const { format, sizeBytes, backing, passphrase } = request;
  return [
    'create',
    '-q',
    ...secretObject(TARGET_SECRET, passphrase),
    '-f',
    format,
    // -u: the base is not opened; its size is already known.
    ...(backing === undefined ? [] : ['-u', '-F', backing.format, '-b', backing.storedName]),
    ...formatOptions(request),
    [{ write: target }],
    String(sizeBytes),
  ];
}

/**
 * `qemu-img convert` of the whole chain into a new file. Secrets are passed as descriptors, never
 * as words.
 */
export function convertArgs(source: Chain, target: FileRef, request: ConvertRequest): Arg[] {
  const { format, passphrase } = request;
  return [
    ...convertWords(source, request),
    ...secretObject(TARGET_SECRET, passphrase),
    ...keysOf(source),
    '-O',
    format,
    ...formatOptions(request),
    chainName(source),
    [{ write: target }],
  ];
}

/** Converts into an existing target, which must be large enough. */
export function convertOntoArgs(source: Chain, target: FileRef, request: OntoRequest): Arg[] {
  return [
    ...convertWords(source, request),
    ...secretsOf(source),
    ...clusterKeys([...source.map(({ file }) => file), target]),
    '-n',
    ...(request.targetIsZero ? ['--target-is-zero'] : []),
    '--target-image-opts',
    chainName(source),
    ['driver=raw,', ...node('file.', target, 'write')],
  ];
}

/**
 * Makes the whole target read as zeros: by writing, or by discarding where the target supports
 * that.
 */
export function wipeArgs(target: FileRef, sizeBytes: bigint, mode: 'zero' | 'discard'): Arg[] {
  return [
    'convert',
    '-p',
    '-n',
    '-m',
    String(REQUESTS),
    '-W',
    ...(mode === 'zero' ? ['-S', '0'] : []),
    ...clusterKeys([target]),
    '--image-opts',
    '--target-image-opts',
    `driver=null-co,size=${String(sizeBytes)},read-zeroes=on`,
    ['driver=raw,', ...node('file.', target, 'write')],
  ];
}

export interface OntoRequest extends ConvertRequest {
  /** Whether the whole target already reads as zeros. */
  readonly targetIsZero: boolean;
}

function convertWords(source: Chain, request: ConvertRequest): Arg[] {
  const { format, compress, direct, snapshot, bytesPerSecond, shared } = request;
  const outOfOrder = format === 'raw' && !compress; // elsewhere it scatters the target's clusters
  return [
    'convert',
    '-p',
    '-m',
    String(requestsAt(bytesPerSecond)),
    ...(outOfOrder ? ['-W'] : []),
    ...(direct ? ['-t', 'none'] : []),
    ...(shared ? ['-U'] : []),
    ...(compress ? ['-c'] : []),
    ...(bytesPerSecond === undefined ? [] : ['-r', String(bytesPerSecond)]),
    ...ofSnapshot(source, snapshot),
  ];
}

/** The number of requests in flight for one qemu-img convert with this rate limit. */
export function requestsAt(bytesPerSecond: bigint | undefined): number {
  if (bytesPerSecond === undefined) return REQUESTS;
  return Math.min(REQUESTS, Math.ceil(Number(bytesPerSecond) / (REQUEST_BYTES * REQUESTS_A_SECOND)));
}

/**
 * How many bytes qemu-img convert may report as done before they are written: it counts a request
 * when it begins.
 */
export function aheadBytes({ bytesPerSecond }: Pick<ConvertRequest, 'bytesPerSecond'>): bigint {
  return BigInt(requestsAt(bytesPerSecond) * REQUEST_BYTES);
}

/** `qemu-img map` as JSON, without taking qemu's image locks (-U). */
export function mapArgs(source: Chain): Arg[] {
  return ['map', '-U', '--output=json', ...keysOf(source), chainName(source)];
}

/**
 * `qemu-img measure` for a target format, without image locks. The chosen cluster size and L2
 * entries change the result, so they are passed on.
 */
export function measureArgs(
  source: Chain,
  format: string,
  { snapshot, clusterSizeBytes, extendedL2 }: MeasureOf = {},
): Arg[] {
  const chosen = [
    ...(clusterSizeBytes === undefined ? [] : [`cluster_size=${String(clusterSizeBytes)}`]),
    ...(extendedL2 === undefined ? [] : [`extended_l2=${onOff(extendedL2)}`]),
  ];
  const options = chosen.length === 0 ? [] : ['-o', chosen.join(',')];
  const words = ['measure', '-U', '--output=json', '-O', format, ...options, ...ofSnapshot(source, snapshot)];
  return [...words, ...keysOf(source), chainName(source)];
}

/** A snapshot of a volume is a volume itself, so qemu needs no option for it. */
function ofSnapshot([top]: Chain, snapshot: string | undefined): string[] {
  if (snapshot === undefined || top.file.storage === 'volume') return [];
  return ['-l', `snapshot.name=${escapeOption(snapshot)}`];
}

/**
 * The only call without a format: qemu reports which format it would detect. It does not follow
 * names in headers.
 */
export function identifyArgs(file: FileRef): Arg[] {
  return ['info', '-U', '--output=json', [{ read: file }]];
}

/** As `identifyArgs`, for an image whose format and options are given. */
export function informArgs(image: Layer): Arg[] {
  return ['info', '-U', '--output=json', chainName([image])];
}

/**
 * `qemu-img compare` of two files byte by byte, as raw and without image locks: exit code 0 for
 * equal, 1 for different.
 */
export function compareArgs(first: FileRef, second: FileRef): Arg[] {
  return [
    'compare',
    '-U',
    '-q',
    ...clusterKeys([first, second]),
    '--image-opts',
    fileOptions(first, 'raw'),
    fileOptions(second, 'raw'),
  ];
}

/** The keys of the clusters that hold the images, and the secrets of encrypted images. */
export function keysOf(...chains: readonly Chain[]): Arg[] {
  return [...secretsOf(...chains), ...clusterKeys(chains.flatMap((chain) => chain.map(({ file }) => file)))];
}

/** Each secret once. */
export function secretsOf(...chains: readonly (readonly Layer[])[]): Arg[] {
  const secrets = new Map(
    chains.flat().flatMap(({ opens }) => (opens === undefined ? [] : [[opens.id, opens.passphrase]])),
  );
  return [...secrets].flatMap(([id, passphrase]) => secretObject(id, passphrase));
}

function secretObject(id: string, secret: Uint8Array | undefined): Arg[] {
  return secret === undefined ? [] : ['--object', [`secret,id=${id},file=`, { secret }]];
}

type FormatRequest = Pick<CreateRequest, 'format' | 'preallocation' | 'passphrase' | keyof Layout> &
  Partial<Pick<ConvertRequest, 'compress' | 'compressionType'>>;

/** The `-o` option with the requested settings; empty if none were requested. */
function formatOptions(request: FormatRequest): Arg[] {
  const { format, preallocation, clusterSizeBytes, lazyRefcounts, extendedL2, compress, compressionType, passphrase } =
    request;
  const options: string[] = [];
  if (preallocation !== 'off') options.push(`preallocation=${preallocation}`);
  if (clusterSizeBytes !== undefined) options.push(`cluster_size=${String(clusterSizeBytes)}`);
  if (lazyRefcounts !== undefined) options.push(`lazy_refcounts=${onOff(lazyRefcounts)}`);
  if (extendedL2 !== undefined) options.push(`extended_l2=${onOff(extendedL2)}`);
  if (compressionType !== undefined) options.push(`compression_type=${compressionType}`);
  const stream = compress === true && format === 'vmdk' ? 'streamOptimized' : undefined;
  const { subformat = stream, compat, refcountBits } = request;
  if (subformat !== undefined) options.push(`subformat=${subformat}`);
  if (compat !== undefined) options.push(`compat=${compat}`);
  if (refcountBits !== undefined) options.push(`refcount_bits=${String(refcountBits)}`);
  // Without it qemu rounds the size up to a disk geometry of cylinders and heads.
  if (format === 'vpc') options.push('force_size=on');
  if (passphrase !== undefined)
    options.push(
      traits(format).encryption === 'needed'
        ? `key-secret=${TARGET_SECRET}`
        : `encrypt.format=luks,encrypt.key-secret=${TARGET_SECRET}`,
    );
  return options.length === 0 ? [] : ['-o', options.join(',')];
}

function onOff(value: boolean): 'on' | 'off' {
  return value ? 'on' : 'off';
}
