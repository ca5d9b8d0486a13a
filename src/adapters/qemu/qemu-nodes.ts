/**
 * How qemu is told which image to open: by descriptors, with the whole chain described explicitly.
 */
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { ImageFacts } from '../../domain/model/image-info.js';
import { SECTOR_BYTES, roundUp } from '../../domain/model/size.js';
import { isDeviceHandle } from '../linux/device-handle.js';
import { chainOf, object, pathTo, text, type JsonMember, type Pieces } from './qemu-json.js';
import { rbdMembers } from './rbd-node.js';
import { fileOf } from '../process/tool-call.js';
import { descriptorText } from './vmdk-text.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type { Chain, Layer, LayerExtent } from '../../domain/ports/tools.js';

/** A comma ends an option's value unless doubled. */
export function escapeOption(value: string): string {
  return value.replaceAll(',', ',,');
}

/**
 * The description of the whole chain, so that qemu opens the files that the daemon resolved and
 * follows no name from a header.
 */
export function chainName(chain: Chain): Pieces {
  return ['json:', ...chainOf(chain.map((layer) => layerMembers(layer, { read: layer.file })))];
}

/** The facts of a layer that are needed to open it. */
type Opening = Pick<Layer, 'format' | 'facts' | 'opens' | 'extents'>;

/** How a file is opened. */
export type OpenedAs = Parameters<typeof fileOf>[0];

/**
 * The members of a layer, opened as the reference says; `more` are options of its file. Fails with
 * UNSUPPORTED_BY_BACKEND for images that qemu cannot open.
 */
export function layerMembers(
  layer: Opening,
  as: OpenedAs,
  { file: more = [] }: { readonly file?: readonly JsonMember[] } = {},
): JsonMember[] {
  const { format, facts, extents } = layer;
  const secrets: readonly JsonMember[] = secretMembers(layer).map(([name, value]) => [name, text(value)]);
  const { vhdSizeFrom, luksVersion = 1, subformat, virtualSizeBytes } = facts;
  // qemu would ask for a passphrase first.
  if (luksVersion > 1) throw unsupported('the tools here open LUKS 1 only; LUKS 2 can be kept as it is', { format });
  const node = extents === undefined ? nodeMembers(as) : severalMembers(fileOf(as), facts, extents);
  const inFile: JsonMember = ['file', object([...node, ...more])];
  // qemu would look for the footer in the guest's first sector first.
  if (format === 'vpc' && subformat === 'fixed')
    return [['driver', text('raw')], ['size', text(String(virtualSizeBytes))], inFile];
  const size: readonly JsonMember[] =
    format === 'vpc' && vhdSizeFrom !== undefined ? [['force_size_calc', text(vhdSizeFrom)]] : [];
  return [['driver', text(format)], ...size, ...secrets, inFile];
}

/** Options that name the secret which opens an image. */
export function secretMembers({
  format,
  facts: { oldEncryption },
  opens,
}: Opening): readonly (readonly [string, string])[] {
  if (opens === undefined) return [];
  if (format === 'luks') return [['key-secret', opens.id]];
  return [
    ['encrypt.format', oldEncryption ?? 'luks'],
    ['encrypt.key-secret', opens.id],
  ];
}

/** The generated file that replaces an image's own descriptor, which names other files. */
function severalMembers(
  { address }: FileRef,
  { described }: ImageFacts,
  extents: readonly LayerExtent[],
): JsonMember[] {
  if (described === undefined || address === undefined) throw new HostlerError('BUG', 'extents of no image');
  return [
    ['driver', text('file')],
    ['filename', pathTo({ text: descriptorText(described, extents), address })],
  ];
}

function nodeMembers(as: OpenedAs): readonly JsonMember[] {
  const file = fileOf(as);
  const cluster = rbdMembers(file);
  if (cluster !== undefined)
    return cluster.map(([name, value]) => [name, typeof value === 'string' ? text(value) : pathTo(value)]);
  const { handle } = file;
  const device = isDeviceHandle(handle);
  const path = device && file.name !== undefined ? { read: handle.ref } : as;
  return [
    ['driver', text(device ? 'host_device' : 'file')],
    ['filename', pathTo(path)],
  ];
}

/** The options for the file, or the image of a cluster, that holds an image's bytes. */
export function node(prefix: string, file: FileRef, use: 'read' | 'write'): Pieces {
  const cluster = rbdMembers(file);
  if (cluster !== undefined)
    return cluster.flatMap(([name, value], index) => [
      `${index === 0 ? '' : ','}${prefix}${name}=`,
      typeof value === 'string' ? escapeOption(value) : value,
    ]);
  const { handle } = file;
  const [driver, ref] = isDeviceHandle(handle) ? ['host_device', handle.ref] : ['file', file];
  return [`${prefix}driver=${driver},${prefix}filename=`, use === 'read' ? { read: ref } : { write: ref }];
}

/** A single file in a format. */
export function fileOptions(file: FileRef, format: string): Pieces {
  return [`driver=${format},${writtenPart(file)}`, ...node('file.', file, 'read')];
}

/** Limits a device to the part that is in use: after a copy, the length of that copy. */
function writtenPart({ handle, name }: FileRef): string {
  if (!isDeviceHandle(handle) || name === undefined) return '';
  return `size=${String(roundUp(handle.bytes, SECTOR_BYTES))},`;
}
