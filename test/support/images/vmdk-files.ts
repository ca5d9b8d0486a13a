/** VMDKs of several files: a descriptor, and files with the data. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sh } from '../shell.js';

export const SECTOR = 512;

/**
 * A descriptor in VMware's words; `lines` are those of the extents, `end` ends each line of the
 * file.
 */
export function descriptor(lines: readonly string[], { end = '\n', type = 'twoGbMaxExtentFlat' } = {}): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'encoding="UTF-8"',
    'CID=fffffffe',
    'parentCID=ffffffff',
    'isNativeSnapshot="no"',
    `createType="${type}"`,
    '',
    '# Extent description',
    ...lines,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "lsilogic"',
    'ddb.geometry.cylinders = "10"',
    'ddb.virtualHWVersion = "21"',
    '',
  ].join(end);
}

/** An extent of its own, as qemu-img makes it. */
export async function sparseExtent(path: string, content: Buffer): Promise<void> {
  const raw = `${path}.raw`;
  await writeFile(raw, content);
  const split = join(dirname(path), 'split.vmdk');
  await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', raw, split);
  await sh('mv', join(dirname(path), 'split-s001.vmdk'), path);
  await sh('rm', raw, split);
}
