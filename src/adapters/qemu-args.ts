import { traits } from '../domain/image-format.js';
import type { Chain, ConvertRequest, CreateRequest, FileRef } from '../domain/ports.js';
import type { Arg, Reference } from './tool-call.js';

/** Requests in flight inside one qemu-img convert; more brings nothing, fewer costs up to 3x (measured). */
const COROUTINES = '16';
const SOURCE_SECRET = 'source-secret';
const TARGET_SECRET = 'target-secret';

type Pieces = readonly (string | Reference)[];

/** A comma ends an option's value unless doubled. */
export function escapeOption(value: string): string {
  return value.replaceAll(',', ',,');
}

/** The whole chain spelt out, so that qemu opens what we resolved and follows no name from a header. */
export function chainOptions(chain: Chain, encrypted: boolean): Pieces {
  return chain.flatMap(({ file, format, facts }, depth): Pieces => {
    const prefix = 'backing.'.repeat(depth);
    const secret =
      !encrypted || !facts.encrypted
        ? ''
        : format === 'luks'
          ? `,${prefix}key-secret=${SOURCE_SECRET}`
          : `,${prefix}encrypt.format=luks,${prefix}encrypt.key-secret=${SOURCE_SECRET}`;
    return [
      `${depth === 0 ? '' : ','}${prefix}driver=${format}${secret},${prefix}file.driver=file,${prefix}file.filename=`,
      { read: file },
    ];
  });
}

/** A lone file in a format. */
export function fileOptions(file: FileRef, format: string): Pieces {
  return [`driver=${format},file.driver=file,file.filename=`, { read: file }];
}

/** `create` has no --image-opts: the target is an absolute path, which qemu takes as nothing else. */
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

export function convertArgs(source: Chain, target: FileRef, request: ConvertRequest): Arg[] {
  const { format, compress, direct, snapshot, bytesPerSecond, shared, sourcePassphrase, passphrase } = request;
  const outOfOrder = format === 'raw' && !compress; // elsewhere it scatters the target's clusters
  return [
    'convert',
    '-p',
    '-m',
    COROUTINES,
    ...(outOfOrder ? ['-W'] : []),
    ...(direct ? ['-t', 'none'] : []),
    ...(shared ? ['-U'] : []),
    ...(compress ? ['-c'] : []),
    ...(bytesPerSecond === undefined ? [] : ['-r', String(bytesPerSecond)]),
    ...(snapshot === undefined ? [] : ['-l', `snapshot.name=${escapeOption(snapshot)}`]),
    ...secretObject(SOURCE_SECRET, sourcePassphrase),
    ...secretObject(TARGET_SECRET, passphrase),
    '-O',
    format,
    ...formatOptions(request),
    '--image-opts',
    chainOptions(source, sourcePassphrase !== undefined),
    [{ write: target }],
  ];
}

export function mapArgs(source: Chain): Arg[] {
  return ['map', '-U', '--output=json', '--image-opts', chainOptions(source, false)];
}

export function measureArgs(source: Chain, format: string): Arg[] {
  return ['measure', '-U', '--output=json', '-O', format, '--image-opts', chainOptions(source, false)];
}

/** The one call without a format: it is to say what it would take the image for. Names in headers it does not follow. */
export function identifyArgs(file: FileRef): Arg[] {
  return ['info', '-U', '--output=json', [{ read: file }]];
}

export function compareArgs(first: FileRef, second: FileRef): Arg[] {
  return ['compare', '-U', '-q', '--image-opts', fileOptions(first, 'raw'), fileOptions(second, 'raw')];
}

function secretObject(id: string, secret: Uint8Array | undefined): Arg[] {
  return secret === undefined ? [] : ['--object', [`secret,id=${id},file=`, { secret }]];
}

type FormatRequest = Pick<
  CreateRequest,
  'format' | 'preallocation' | 'clusterSizeBytes' | 'lazyRefcounts' | 'extendedL2' | 'passphrase'
> &
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
  if (compress === true && format === 'vmdk') options.push('subformat=streamOptimized');
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
