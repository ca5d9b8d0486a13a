/**
 * Images by writers of other worlds: hcsshim's tar2ext4 (layers of containers as disks) and ChaN's
 * FatFs (firmware).
 */
import type { Honest } from '../recipe.js';

const TAR = 'mkdir d && cp $D/text $D/dense d && tar -cf in.tar d';
const EXT4 = 'ext4 by tar2ext4';
const VHD = 'fixed VHD by tar2ext4';
/**
 * Its footer has no geometry: what the guest sees is what lies before the footer, not what qemu-img
 * says.
 */
const TRUTH = 'head -c -512 image >truth';
const FATS = ['4 FAT whole', '8 FAT parted', '64 FAT32 whole', '64 FAT32 parted'];

export const WRITTEN: readonly Honest[] = [
  ...['', '-inline', '-overlay', '-inline -overlay'].flatMap((options): Honest[] => [
    { kind: EXT4, make: `${TAR} && tar2ext4 ${options} -i in.tar -o image`, format: 'raw', by: 'all' },
    { kind: VHD, make: `${TAR} && tar2ext4 ${options} -vhd -i in.tar -o image && ${TRUTH}`, format: 'vpc', by: 'all' },
  ]),
  {
    kind: VHD,
    make: `tar2ext4 -only-vhd -i $D/parted -o image && ${TRUTH}`,
    format: 'vpc',
    by: 'all',
  },
  ...FATS.map((words): Honest => ({
    kind: 'FAT by FatFs',
    make: `node $W/fatfs.js image ${words} $D/text`,
    format: 'raw',
    by: 'all',
  })),
];
