/** The data files of a VMDK whose descriptor names them; they lie in the descriptor's folder. */
import { HostlerError } from '../model/errors.js';
import { malformed } from '../formats/facts.js';
import { cached } from '../formats/head.js';
import { detectFormat } from '../formats/magic.js';
import { READERS } from '../formats/readers.js';
import { unsafe } from './image-policy.js';
import type { NamedExtent } from '../model/image-info.js';
import type { Files } from '../ports/images.js';
import { breathe } from '../model/async.js';
import type { Resolved } from '../ports/handles.js';
import type { Layer, LayerExtent } from '../ports/tools.js';
import type { Paths } from '../ports/paths.js';

interface ExtentPorts {
  readonly paths: Pick<Paths, 'named'>;
  readonly files: Pick<Files, 'withBytes'>;
}

/** Every file that holds a part of these layers, each once for a layer. */
export function filesOf(layers: readonly Layer[]): Resolved[] {
  return layers.flatMap(({ file, extents = [] }) => [
    file,
    ...new Set(extents.flatMap((extent) => (extent.file === undefined ? [] : [extent.file]))),
  ]);
}

/**
 * The layer with its extents, each as long as the descriptor says; opened files are added to
 * `opened`, also on failure. Fails as `Paths.named`, with IMAGE_UNSAFE, and with IMAGE_MALFORMED.
 */
export async function withExtents(layer: Layer, opened: Resolved[], ports: ExtentPorts): Promise<Layer> {
  const { file, facts } = layer;
  if (facts.described === undefined) return layer;
  const { extents: named } = facts.described;
  const byName = new Map<string, Resolved>();
  const extents: LayerExtent[] = [];
  for (const { name, ...extent } of named) {
    if (name === undefined) {
      extents.push(extent);
      continue;
    }
    const found = byName.get(name) ?? (await ports.paths.named(name, file));
    if (!byName.has(name)) opened.push(found);
    byName.set(name, found);
    assertLone(file, found);
    const isLast = extents.length === named.length - 1;
    if (extent.kind === 'sparse') await assertSparse(found, extent, isLast, ports.files);
    assertUncutExtent({ ...extent, file: found });
    extents.push({ ...extent, file: found });
    await breathe();
  }
  return { ...layer, extents };
}

/**
 * Fails with IMAGE_MALFORMED if a flat extent's file ends before the extent: the rest would be read
 * as zeros.
 */
export function assertUncutExtent({ kind, file, offsetBytes, lengthBytes }: LayerExtent): void {
  const endBytes = offsetBytes + lengthBytes;
  if (kind !== 'flat' || file === undefined || endBytes <= file.lengthBytes) return;
  const [length, bytes] = [String(file.lengthBytes), String(endBytes - file.lengthBytes)];
  throw new HostlerError(
    'IMAGE_MALFORMED',
    `${file.address}: the file ends at byte ${length}, but the disk has data in it up to byte ${String(endBytes)}: ${bytes} bytes are missing`,
    { facts: { path: file.address, file_bytes: length, missing_at: length, missing_bytes: bytes } },
  );
}

function assertLone(descriptor: Resolved, file: Resolved): void {
  if (!file.trusted) throw unsafe(descriptor.address, `its extent ${file.storedName} lies in an untrusted root`);
  if (file.storage !== 'file') throw unsafe(descriptor.address, `its extent ${file.storedName} is no file`);
  if (file.device === descriptor.device && file.inode === descriptor.inode)
    throw unsafe(descriptor.address, 'it names itself as an extent');
}

/** qemu goes by the header of a sparse extent, so the header must agree with the descriptor. */
async function assertSparse(
  file: Resolved,
  { lengthBytes }: Pick<NamedExtent, 'lengthBytes'>,
  isLast: boolean,
  files: Pick<Files, 'withBytes'>,
): Promise<void> {
  const {
    virtualSizeBytes,
    clusterSizeBytes = 1n,
    findings,
  } = await files.withBytes(file, async (source) => {
    const bytes = cached(source);
    const format = await detectFormat(bytes);
    if (format !== 'vmdk') throw malformed('vmdk', `the extent ${file.address} is ${format}, no sparse one`);
    return READERS.vmdk(bytes);
  });
  if (findings.some(({ reason }) => reason === 'NAMES_OTHER_FILES'))
    throw unsafe(file.address, 'it is an extent of a VMDK, and names other files itself');
  if (virtualSizeBytes !== lengthBytes)
    throw malformed(
      'vmdk',
      `the extent ${file.address} has ${String(virtualSizeBytes)} bytes, its descriptor says ${String(lengthBytes)}`,
    );
  // qemu counts the whole of the last grain as part of the extent.
  if (!isLast && lengthBytes % clusterSizeBytes !== 0n)
    throw malformed('vmdk', `the extent ${file.address} ends within a grain, and another one follows`);
}
