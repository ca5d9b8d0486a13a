/** Command lines of qemu-img's verbs that change existing images. */
import type { Written } from '../../domain/ports/changes.js';
import { keysOf, secretsOf } from './qemu-args.js';
import { chainName, layerMembers, secretMembers, type OpenedAs } from './qemu-nodes.js';
import { chainOf, object, text, type JsonMember, type Pieces } from './qemu-json.js';
import type { Arg } from '../process/tool-call.js';
import type { Chain, Layer } from '../../domain/ports/tools.js';

/** Longer than the header field that it would be written to; see `copyUpArgs`. */
const TOO_LONG_FOR_A_HEADER = 1100;

/**
 * How each layer is opened: the image and the written layer for writing; a copy replaces the latter
 * if there is one.
 */
function referencesOf({ chain, copy }: Written, depth: number): OpenedAs[] {
  return chain.map(({ file }, at) => {
    if (at === depth) return { write: copy ?? file };
    return at === 0 ? { write: file } : { read: file };
  });
}

/** The chain with all layers described explicitly. */
function spell(chain: Chain, references: readonly OpenedAs[], more: readonly JsonMember[] = []): Pieces {
  const layers = chain.map((layer, at) =>
    layerMembers(layer, references[at] ?? { read: layer.file }, { file: at === 0 ? more : [] }),
  );
  return ['json:', ...chainOf(layers)];
}

/** @param more options of the file that holds the image */
function opened(image: Written, more: readonly JsonMember[] = []): Pieces {
  return spell(image.chain, referencesOf(image, 0), more);
}

/** The image without its backing files. */
function alone({ chain: [top], copy }: Written): Pieces {
  const secrets = secretMembers(top).map(([name, value]) => `${name}=${value},`);
  return [`driver=${top.format},${secrets.join('')}file.driver=file,file.filename=`, { write: copy ?? top.file }];
}

/** `qemu-img resize` to an absolute size in bytes. Without `shrink` qemu refuses a smaller size. */
export function resizeArgs(
  image: Written,
  request: { sizeBytes: bigint; shrink: boolean; preallocation: string },
): Arg[] {
  const { sizeBytes, shrink, preallocation } = request;
  return [
    'resize',
    '-q',
    ...secretsOf(image.chain),
    ...(shrink ? ['--shrink'] : []),
    ...(preallocation === 'off' ? [] : [`--preallocation=${preallocation}`]),
    opened(image),
    String(sizeBytes),
  ];
}

/**
 * `rebase` copies the clusters that differ into the image, then writes the base's name into the
 * header, while its own tables may still be in memory: if it were ended at that moment, the image
 * would lose its data. The name passed here describes open files and is too long for a header, so
 * the header stays unchanged until `setBaseArgs` changes it, in one write, when everything else is
 * on disk.
 */
export function copyUpArgs(image: Written, base: readonly Layer[]): Arg[] {
  return [
    'rebase',
    '-p',
    ...secretsOf(image.chain, base),
    '-b',
    describeBase(base, image.chain[0].facts.virtualSizeBytes),
    opened(image),
  ];
}

/** An image without a base behaves like one on a base of zeros. */
function describeBase(base: readonly Layer[], sizeBytes: bigint): Pieces {
  const zeros = `{"driver":"null-co","size":${String(sizeBytes)},"read-zeroes":true}`;
  return ['json:', ' '.repeat(TOO_LONG_FOR_A_HEADER), ...(base.length === 0 ? [zeros] : layersOf(base))];
}

function layersOf(layers: readonly Layer[]): Pieces {
  return chainOf(layers.map((layer) => layerMembers(layer, { read: layer.file })));
}

/**
 * Compares the image on the layers that its header names with the same image on other layers, or on
 * none.
 */
export function compareChainsArgs({ chain: [top, ...old], copy }: Written, base: readonly Layer[]): Arg[] {
  const on = (below: readonly Layer[]): Pieces => [
    'json:',
    ...chainOf([
      layerMembers(top, { read: copy ?? top.file }),
      ...below.map((layer) => layerMembers(layer, { read: layer.file })),
    ]),
  ];
  return ['compare', ...secretsOf([top, ...old], base), on(old), on(base)];
}

/**
 * `qemu-img rebase -u`: writes the name of another base into the header and moves no data. Without
 * a base the image becomes standalone.
 */
export function setBaseArgs(image: Written, base: { storedName: string; format: string } | undefined): Arg[] {
  const name = base === undefined ? ['-b', ''] : ['-F', base.format, '-b', base.storedName];
  return ['rebase', '-q', '-u', ...secretsOf(image.chain), ...name, '--image-opts', alone(image)];
}

/** @param base qemu's name of the layer that is written, unless that is the nearest one below */
export function commitArgs(image: Written, depth: number, base: string | undefined): Arg[] {
  // Without -d the overlay would be emptied, and a crash during that would lose data that is not
  // yet in the base.
  const into = base === undefined ? [] : ['-b', base];
  return ['commit', '-p', '-d', ...secretsOf(image.chain), ...into, spell(image.chain, referencesOf(image, depth))];
}

/**
 * Makes qemu print its own name for a layer of the chain, which `commit` needs exactly. `info` does
 * not print an image's backing file, but does print the file that holds the image; here the layer
 * takes that place. Each file has the same path as in `commitArgs`.
 */
export function nameOfLayerArgs(image: Written, depth: number): Arg[] {
  const references = referencesOf(image, depth);
  const layers = image.chain
    .map((layer, at) => layerMembers(layer, references[at] ?? { read: layer.file }))
    .slice(depth);
  return [
    'info',
    '-U',
    '--output=json',
    [
      'json:',
      ...object([
        ['driver', text('raw')],
        ['file', chainOf(layers)],
      ]),
    ],
  ];
}

/** `qemu-img check` as JSON; opens the image for writing only for a repair. */
export function checkArgs(image: Written, repair: 'none' | 'leaks' | 'all'): Arg[] {
  const [flags, name] = repair === 'none' ? [[], chainName(image.chain)] : [['-r', repair], opened(image)];
  return ['check', '--output=json', ...secretsOf(image.chain), ...flags, name];
}

/**
 * `qemu-img compare` of the content that guests see, with progress. `strict` also compares sizes
 * and allocation.
 */
export function compareImagesArgs(first: Chain, second: Chain, strict: boolean): Arg[] {
  return ['compare', '-p', ...(strict ? ['-s'] : []), ...keysOf(first, second), chainName(first), chainName(second)];
}

/**
 * If qemu 7.2 cannot flush a new snapshot table, it discards that table, although the header may
 * already name it (block/qcow2-snapshot.c, `qcow2_write_snapshots`): all snapshots would be lost.
 * So discards are off, except when the last snapshot is removed: then there is no table, and the
 * file gives its blocks back.
 */
export function snapshotArgs(image: Written, option: '-c' | '-d' | '-a', name: string): Arg[] {
  const isLast = option === '-d' && image.chain[0].facts.snapshots.length === 1;
  return [
    'snapshot',
    '-q',
    ...secretsOf(image.chain),
    option,
    name,
    opened(image, isLast ? [] : [['discard', text('ignore')]]),
  ];
}
