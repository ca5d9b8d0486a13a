/** Images that reach beyond themselves, or are two things at once. */
import type { ImageFormat } from '../../../src/domain/model/image-format.js';
import type { Wrong } from '../recipe.js';

const UNSAFE = ['IMAGE_UNSAFE'];
const one = (kind: string, format: ImageFormat, make: string, reasons: readonly string[] = UNSAFE): Wrong => ({
  kind,
  format,
  make,
  reasons,
});
const BASES = ['/etc/passwd', 'base', '../base', 'json:{}', 'nbd://host/x'];
const patch = (at: number, bytes: string) =>
  `printf '${bytes}' | dd of=image bs=1 seek=${String(at)} conv=notrunc status=none`;
const QCOW2 = 'qemu-img convert -f raw -O qcow2 $D/dense image';

export const HOSTILE: readonly Wrong[] = [
  ...BASES.map((base) =>
    one('names another file', 'qcow2', `qemu-img create -q -f qcow2 -u -F raw -b '${base}' image 1M`),
  ),
  ...BASES.map((base) => one('names another file', 'qed', `qemu-img create -q -f qed -u -F raw -b '${base}' image 1M`)),
  one(
    'names another file',
    'vmdk',
    'qemu-img create -q -f vmdk base 1M && qemu-img create -q -f vmdk -F vmdk -b base image 1M && rm base',
  ),
  ...['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse'].map((subformat) =>
    one(
      'names another file',
      'vmdk',
      `qemu-img create -q -f vmdk -o subformat=${subformat} image.vmdk 1M && mv image.vmdk image`,
    ),
  ),
  one('names another file', 'qcow2', 'qemu-img create -q -f qcow2 -o data_file=data,data_file_raw=on image 1M'),
  ...[5, 7, 20, 62].map((bit) =>
    one(
      'unknown features',
      'qcow2',
      `${QCOW2} && ${patch(79 - Math.floor(bit / 8), `\\x${(1 << (bit % 8)).toString(16)}`)}`,
    ),
  ),
  one('two formats at once', 'qcow2', `${QCOW2} && ${patch(32_769, 'CD001')}`),
  one(
    'two formats at once',
    'qcow2',
    `${QCOW2} && printf conectix >t && truncate -s 512 t && truncate -s %512 image && cat t >>image`,
  ),
  one(
    'two formats at once',
    'vmdk',
    `qemu-img convert -f raw -O vmdk $D/dense image && printf koly >t && truncate -s 512 t && truncate -s %512 image && cat t >>image`,
  ),
  ...(['qcow2', 'vmdk', 'vdi', 'vhdx', 'qed', 'parallels', 'qcow'] as const).map((format) =>
    one('declared as another format', 'raw', `qemu-img convert -f raw -O ${format} $D/dense image`, [
      'FORMAT_MISMATCH',
    ]),
  ),
  ...(['qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx', 'qed', 'parallels', 'qcow', 'luks'] as const).map((format) =>
    one('declared as another format', format, 'cp $D/dense image', ['FORMAT_MISMATCH']),
  ),
  one('headers with false values', 'qcow2', `${QCOW2} && ${patch(20, '\\0\\0\\0\\x40')}`, ['IMAGE_MALFORMED']),
  one('headers with false values', 'qcow2', `${QCOW2} && ${patch(24, '\\x7f\\xff\\xff\\xff')}`, [
    'IMAGE_MALFORMED',
    'IMAGE_UNSAFE',
  ]),
  one('headers with false values', 'qcow2', `${QCOW2} && ${patch(40, '\\0\\0\\x7f')}`, [
    'IMAGE_MALFORMED',
    'IMAGE_UNSAFE',
  ]),
  one('headers with false values', 'qcow2', `${QCOW2} && ${patch(48, '\\0\\0\\x7f')}`, [
    'IMAGE_MALFORMED',
    'IMAGE_UNSAFE',
  ]),
  one(
    'headers with false values',
    'vdi',
    `qemu-img convert -f raw -O vdi $D/dense image && ${patch(0x154, '\\xff\\xff\\xff')}`,
    ['IMAGE_MALFORMED', 'IMAGE_UNSAFE'],
  ),
  one(
    'headers with false values',
    'vhdx',
    `qemu-img convert -f raw -O vhdx $D/dense image && ${patch(65_540, 'x')} && ${patch(131_076, 'x')}`,
    ['IMAGE_MALFORMED'],
  ),
  one('headers with false values', 'vpc', `qemu-img convert -f raw -O vpc $D/dense image && ${patch(40, 'x')}`, [
    'IMAGE_MALFORMED',
  ]),
  one(
    'headers with false values',
    'vmdk',
    `qemu-img convert -f raw -O vmdk $D/dense image && ${patch(56, '\\0\\0\\0\\x7f')}`,
    ['IMAGE_MALFORMED', 'IMAGE_UNSAFE'],
  ),
  one(
    'headers with false values',
    'parallels',
    `qemu-img convert -f raw -O parallels $D/dense image && ${patch(28, '\\0\\0\\0\\0')}`,
    ['IMAGE_MALFORMED'],
  ),
  one(
    'headers with false values',
    'qed',
    `qemu-img convert -f raw -O qed $D/dense image && ${patch(4, '\\x01\\0\\0\\0')}`,
    ['IMAGE_MALFORMED'],
  ),
];
