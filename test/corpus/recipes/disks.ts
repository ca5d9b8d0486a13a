/** Raw disks: tables of partitions, filesystems and media, as the tools of each make them. */
import type { Honest } from '../recipe.js';

const raw = (kind: string, ...makes: string[]): Honest[] =>
  makes.map((make) => ({ kind, make, format: 'raw', by: 'all' }));
const GPT = 'truncate -s 8M image && sgdisk -n1:2048:6143 image >/dev/null';
const MBR = "truncate -s 8M image && printf 'label: dos\\n2048,4096,83\\n' | sfdisk -q image";
const byte = (at: number, octal: string) =>
  `printf '\\${octal}' | dd of=image bs=1 seek=${String(at)} conv=notrunc status=none`;

export const DISKS: readonly Honest[] = [
  ...raw(
    'bytes',
    ...['holes', 'dense', 'zeros', 'odd', 'text', 'parted'].map((disk) => `cp $D/${disk} image`),
    'truncate -s 512 image',
    'head -c 70000 /dev/zero >image',
    'truncate -s 10G image',
  ),
  ...raw(
    'MBR',
    MBR,
    "truncate -s 8M image && printf 'label: dos\\n2048,2048,83,*\\n4096,2048,82\\n6144,2048,7\\n8192,,b\\n' | sfdisk -q image",
    "truncate -s 64M image && printf 'label: dos\\n2048,8192,83\\n16384,65536,5\\n18432,8192,83\\n' | sfdisk -q image",
    "truncate -s 8M image && printf 'label: dos\\n1,,ee\\n' | sfdisk -q --force image",
    `${MBR} && truncate -s 2M image`,
    `${MBR} && truncate -s 20M image`,
    `${MBR} && truncate -s +100 image`,
    // Partitions that overlap, have no length, begin in the MBR.
    `${MBR} && dd if=image of=image bs=1 skip=446 seek=462 count=16 conv=notrunc status=none`,
    `${MBR} && ${byte(458, '0')} && ${byte(459, '0')}`,
    `${MBR} && ${byte(455, '0')}`,
    // Boot code before the table.
    `${MBR} && printf '\\353\\143\\220' | dd of=image conv=notrunc status=none`,
  ),
  ...raw(
    'GPT',
    GPT,
    'truncate -s 8M image && sgdisk -o image >/dev/null',
    'truncate -s 8M image && sgdisk -n1:2048:4095 -t1:ef00 -n2:4096:0 -t2:8300 -A2:set:2 image >/dev/null',
    `${GPT} && sgdisk -h1:EE image >/dev/null`,
    `${GPT} && sgdisk -h1 image >/dev/null`,
    `${GPT} && sgdisk -m1 image >/dev/null`,
    `${GPT} && truncate -s 7M image`,
    `${GPT} && truncate -s 12M image`,
    `${GPT} && dd if=/dev/zero of=image bs=512 seek=16383 count=1 conv=notrunc status=none`,
    `${GPT} && dd if=/dev/zero of=image bs=512 seek=1 count=1 conv=notrunc status=none`,
    `${GPT} && dd if=/dev/zero of=image bs=512 count=1 conv=notrunc status=none`,
    `${GPT} && ${byte(1080, '1')}`,
    `${GPT} && printf 'label: dos\\n2048,4096,83\\n' | sfdisk -q --wipe never image`,
    'truncate -s 64M image && sgdisk -s -n1:0:0 image >/dev/null',
  ),
  ...raw(
    'labels of parted',
    ...['amiga', 'bsd', 'dvh', 'gpt', 'loop', 'mac', 'msdos', 'pc98', 'sun'].map(
      (label) => `truncate -s 16M image && parted -s image mklabel ${label}`,
    ),
    ...['gpt', 'msdos'].map(
      (label) =>
        `truncate -s 16M image && parted -s image mklabel ${label} mkpart primary ext2 1MiB 8MiB mkpart primary fat32 8MiB 100%`,
    ),
  ),
  ...raw(
    'BSD and whole disks',
    "truncate -s 8M image && printf 'label: dos\\n2048,,a5\\n' | sfdisk -q image && " +
      byte(454, '0') +
      ' && ' +
      byte(455, '0'),
    "truncate -s 8M image && printf 'label: sun\\n' | sfdisk -q image",
    "truncate -s 8M image && printf 'label: sgi\\n' | sfdisk -q image",
  ),
  ...raw(
    'FAT',
    ...['160', '180', '320', '360', '720', '1200', '1440', '2880'].map((size) => `mformat -C -i image -f ${size} ::`),
    ...['-F 12', '-F 16', '-F 16 --mbr=y', '--mbr=n'].map(
      (options) => `truncate -s 16M image && mkfs.vfat ${options} image >/dev/null`,
    ),
    ...['-F 32', '-F 32 --mbr=y', '-F 32 -S 4096'].map(
      (options) => `truncate -s 300M image && mkfs.vfat ${options} image >/dev/null`,
    ),
    'truncate -s 64M image && mformat -i image -F ::',
    'truncate -s 16M image && mkfs.vfat image >/dev/null && mcopy -i image $D/text ::TEXT',
  ),
  ...raw(
    'filesystems without partitions',
    ...[
      'ext2',
      'ext3',
      'ext4',
      'ext4 -b 1024',
      'ext4 -b 4096',
      'ext4 -O 64bit,metadata_csum',
      'ext4 -O ^has_journal',
    ].map((type) => `truncate -s 16M image && mke2fs -q -t ${type} image`),
    ...['', '-m crc=0', '-m reflink=0'].map((options) => `truncate -s 320M image && mkfs.xfs -q ${options} image`),
    ...['', '-M'].map((options) => `truncate -s 128M image && mkfs.btrfs -q ${options} image`),
    ...['-1', '-2', '-3'].map((version) => `truncate -s 4M image && mkfs.minix ${version} image >/dev/null`),
    'mkdir d && cp $D/text d && mkfs.cramfs d image',
    'truncate -s 4M image && mkfs.bfs image >/dev/null 2>&1',
    'truncate -s 4M image && mkswap image >/dev/null 2>&1',
    ...['gzip', 'lzo', 'xz', 'lz4', 'zstd', 'lzma'].map(
      (by) => `mksquashfs $D/text image -quiet -no-progress -comp ${by}`,
    ),
    'mksquashfs $D/text image -quiet -no-progress -nopad',
  ),
  ...raw(
    'optical media',
    ...['', '-J', '-R', '-J -R', '-iso-level 3', '-V NAME'].map(
      (options) => `xorriso -as mkisofs -quiet ${options} -o image $D/text 2>/dev/null`,
    ),
    ...['-udf', '-udf -J', '-hfs', '-J -joliet-long'].map(
      (options) => `genisoimage -quiet ${options} -o image $D/text 2>/dev/null`,
    ),
    'mkdir d && cp $D/text d/boot.img && truncate -s 2K d/boot.img && xorriso -as mkisofs -quiet -b boot.img -no-emul-boot -o image d 2>/dev/null',
    'mkdir d && cp $D/text d && truncate -s 432 mbr && xorriso -as mkisofs -quiet -G mbr -partition_offset 16 -o image d 2>/dev/null',
    'mkdir d && cp $D/text d && truncate -s 2M efi && mkfs.vfat efi >/dev/null && xorriso -as mkisofs -quiet -append_partition 2 0xef efi -appended_part_as_gpt -o image d 2>/dev/null',
    'mkdir d && cp $D/text d && truncate -s 2M efi && mkfs.vfat efi >/dev/null && xorriso -as mkisofs -quiet -append_partition 2 0xef efi -o image d 2>/dev/null',
  ),
];
