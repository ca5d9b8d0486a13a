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
/** The most that one of them is for (IO_BUF_SIZE in qemu-img.c). */
const REQUEST_BYTES = 2 * 1024 * 1024;
/** So many keep up with a limit to the rate: each is ready in an eighth of a second. */
const REQUESTS_A_SECOND = 8;
const TARGET_SECRET = 'target-secret';

/**
 * `create` has no --image-opts: the target is an absolute path, which qemu takes as nothing else.
 */
export function createArgs(target: FileRef, request: CreateRequest): Arg[] {
  const { format, sizeBytes, backing, passphrase } = request;
  return [
    'create',
    '-q',
    ...secretObject(TARGET_SECRET, passphrase),
    '-f',
    format,
    // -u: the base is not opened; we have read its size.
    ...(backing === undefined ? [] : ['-u', '-F', backing.format, '-b', backing.storedName]),
    ...formatOptions(request),
    [{ write: target }],
    String(sizeBytes),
  ];
}

/**
 * `qemu-img convert` of the whole chain into a new file. Secrets go in as descriptors, never as
 * words.
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

/** Onto what is there already: nothing is made, and it must be large enough. */
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

/** Zeros over all of it: written, or, where it can forget, forgotten. */
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
  /** It reads as zeros everywhere. */
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

/** Of one qemu-img convert. */
export function requestsAt(bytesPerSecond: bigint | undefined): number {
  if (bytesPerSecond === undefined) return REQUESTS;
  return Math.min(REQUESTS, Math.ceil(Number(bytesPerSecond) / (REQUEST_BYTES * REQUESTS_A_SECOND)));
}

/** What qemu-img convert counts as done when it begins it: as much may not be written yet. */
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

/** A volume's own snapshots are volumes. */
function ofSnapshot([top]: Chain, snapshot: string | undefined): string[] {
  if (snapshot === undefined || top.file.storage === 'volume') return [];
  return ['-l', `snapshot.name=${escapeOption(snapshot)}`];
}

/**
 * The one call without a format: it is to say what it would take the image for. Names in headers it
 * does not follow.
 */
export function identifyArgs(file: FileRef): Arg[] {
  return ['info', '-U', '--output=json', [{ read: file }]];
}

/** The same for an image whose format and options are given. */
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

/** The keys of the clusters that images are in, and what opens those that are encrypted. */
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

/** `-o …` with what was asked for; nothing when nothing was. */
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
  // Otherwise the size follows a disk geometry of cylinders and heads, and grows.
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
