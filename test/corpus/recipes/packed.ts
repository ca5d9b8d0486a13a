/** What comes compressed or in an archive, whole and broken. */
import type { Honest, Wrong } from '../recipe.js';

const TOOLS: readonly (readonly [string, readonly string[]])[] = [
  ['gzip', ['-1', '-6', '-9', '-n']],
  ['xz', ['-0', '-6', '--check=crc32', '--check=sha256', '--check=none', '-T2 --block-size=64KiB']],
  ['zstd', ['-q -1', '-q -19', '-q --long=27', '-q --no-check', '-q -T2']],
  ['bzip2', ['-1', '-9']],
  ['pzstd', ['-q -p 2']],
];
const INNER: readonly (readonly [string, 'raw' | 'qcow2'])[] = [
  ['cp $D/holes truth', 'raw'],
  ['qemu-img convert -f raw -O qcow2 $D/holes truth', 'qcow2'],
];
const packed = (make: string, format: 'raw' | 'qcow2', kind: string, member?: string): Honest => ({
  kind,
  make,
  format,
  by: 'fetch',
  ...(member === undefined ? {} : { member }),
});

export const COMPRESSED: readonly Honest[] = [
  ...TOOLS.flatMap(([tool, options]) =>
    options.flatMap((words) =>
      INNER.map(([inner, format]) => packed(`${inner} && ${tool} ${words} -c truth >image`, format, 'compressed')),
    ),
  ),
  ...['gzip', 'xz', 'zstd -q', 'bzip2'].map((tool) =>
    packed(
      `cp $D/dense a && cp $D/holes b && cat a b >truth && ${tool} -c a >image && ${tool} -c b >>image`,
      'raw',
      'compressed in several pieces',
    ),
  ),
  ...['printf signature', 'head -c 512 /dev/zero', 'printf "\\0\\0signature"'].map((tail) =>
    packed(
      `cp $D/holes truth && gzip -c truth >image && ${tail} >>image`,
      'raw',
      'compressed, with data after the end',
    ),
  ),
  packed(
    'cp $D/holes truth && bzip2 -c truth >image && printf signature >>image',
    'raw',
    'compressed, with data after the end',
  ),
  packed(
    'cp $D/holes truth && xz -c truth >image && head -c 8 /dev/zero >>image',
    'raw',
    'compressed, with data after the end',
  ),
];

const TARS = [
  '',
  '--format=v7',
  '--format=ustar',
  '--format=gnu',
  '--format=posix',
  '--format=oldgnu -S',
  '--format=posix -S',
  '--format=posix -S --sparse-version=0.0',
];
export const ARCHIVED: readonly Honest[] = [
  ...TARS.map((options) =>
    packed(`cp $D/holes truth && cp truth disk.img && tar -cf image ${options} disk.img`, 'raw', 'tar', '*'),
  ),
  ...['gzip', 'xz', 'zstd -q', 'bzip2'].map((tool) =>
    packed(
      `cp $D/holes truth && cp truth disk.raw && tar -c $D/text disk.raw 2>/dev/null | ${tool} >image`,
      'raw',
      'tar',
      'disk.raw',
    ),
  ),
  packed(
    'cp $D/holes truth && cp truth disk.raw && tar -czSf image --format=oldgnu disk.raw',
    'raw',
    'tar',
    'disk.raw',
  ),
  packed(
    'qemu-img convert -f raw -O qcow2 $D/holes truth && cp truth a.qcow2 && tar -cf image a.qcow2',
    'qcow2',
    'tar',
    'a.qcow2',
  ),
  ...['-0', '-1', '-9'].map((level) =>
    packed(
      `cp $D/holes truth && cp truth disk.img && zip -q ${level} out.zip disk.img && mv out.zip image`,
      'raw',
      'zip',
      '*',
    ),
  ),
  packed(
    'cp $D/holes truth && cp truth disk.img && cp $D/text readme && zip -q out.zip readme disk.img && mv out.zip image',
    'raw',
    'zip',
    'disk.img',
  ),
  packed('cp $D/holes truth && cp truth disk.img && zip -q - - <disk.img >image', 'raw', 'zip', '*'),
  packed(
    'cp $D/holes truth && xz -c truth >disk.img.xz && zip -q -0 out.zip disk.img.xz && mv out.zip image',
    'raw',
    'zip',
    '*',
  ),
];

const MALFORMED = ['IMAGE_MALFORMED'];
const wrong = (kind: string, make: string, reasons: readonly string[] = MALFORMED, member?: string): Wrong => ({
  kind,
  make,
  reasons,
  ...(member === undefined ? {} : { member }),
});
const ARCHIVERS = [
  'tar -cf image disk',
  'tar -cf image --format=v7 disk',
  'tar -cSf image disk',
  'zip -q out.zip disk && mv out.zip image',
  'zip -q -0 out.zip disk && mv out.zip image',
  '7z a out.7z disk >/dev/null && mv out.7z image',
  'echo disk | cpio -o --quiet >image',
  'echo disk | cpio -o -H newc --quiet >image',
  'echo disk | cpio -o -H odc --quiet >image',
  'ar rc image disk',
];
const OTHERS = ['lz4 -q -c', 'lz4 -q -l -c', 'lzip -c', 'lzop -c', 'compress -c', 'xz -c --format=lzma'];
const SHORT = ['gzip', 'xz', 'zstd -q', 'bzip2'];
const TEXTS: readonly string[] = [
  '<!DOCTYPE html><html></html>',
  '\\xef\\xbb\\xbf<html>',
  '\\n\\n  <html lang=x>',
  '<!-- moved -->',
  '<?xml version="1.0"?><Error/>',
  '<Error><Code>NoSuchKey</Code></Error>',
  '{"error": 404}',
  ' [1, 2]',
  'version https://git-lfs.github.com/spec/v1\\noid sha256:x\\n',
  '-----BEGIN CERTIFICATE-----\\n',
  '#!/bin/sh\\necho\\n',
  'HTTP/1.1 404 Not Found\\r\\n\\r\\n',
  'Not Found',
  '#cloud-config\\n',
];

export const NO_DISKS: readonly Wrong[] = [
  ...ARCHIVERS.map((make) => wrong('archives without archive_member', `cp $D/holes disk && ${make}`)),
  ...['gzip -c', 'xz -c', 'zstd -q -c'].map((tool) =>
    wrong('archives without archive_member', `cp $D/holes disk && tar -c disk | ${tool} >image`),
  ),
  ...OTHERS.flatMap((tool) =>
    ['holes', 'dense'].map((disk) => wrong('compressions that are not expanded', `${tool} $D/${disk} >image`)),
  ),
  ...SHORT.flatMap((outer) =>
    SHORT.map((inner) => wrong('compressed twice', `${inner} -c $D/holes | ${outer} -c >image`)),
  ),
  ...TEXTS.map((text) => wrong('texts', `printf -- '${text}' >image`)),
  ...['true', 'cat'].map((tool) => wrong('programs', `cat /bin/${tool} >image`)),
  wrong('programs', 'cat /usr/bin/ldd >image'),
  ...SHORT.map((tool) => wrong('empty or too short', `${tool} -c </dev/null >image`)),
  wrong('empty or too short', ': >image'),
  ...['1', '100', '511'].map((bytes) => wrong('empty or too short', `head -c ${bytes} $D/dense >image`)),
];

export const CUT_PACKED: readonly Wrong[] = [
  ...SHORT.flatMap((tool) =>
    ['-1', '-9', '-700', '500'].map((size) =>
      wrong('compressed and cut', `${tool} -c $D/dense >image && truncate -s ${size} image`),
    ),
  ),
  ...SHORT.map((tool) =>
    wrong('compressed and cut', `${tool} -c $D/dense >image && cp image b && truncate -s -9 b && cat b >>image`),
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense disk && tar -cf image disk && truncate -s 100K image',
    MALFORMED,
    'disk',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense disk && tar -czf image disk && truncate -s -50 image',
    MALFORMED,
    'disk',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense disk && zip -q out.zip disk && mv out.zip image && truncate -s -100 image',
    MALFORMED,
    'disk',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense disk && zip -q -P x out.zip disk && mv out.zip image',
    MALFORMED,
    'disk',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense disk && zip -q -0 out.zip disk && mv out.zip image && printf xx | dd of=image bs=1 seek=5000 conv=notrunc status=none',
    MALFORMED,
    'disk',
  ),
  wrong('archives that are broken, or have no such disk', 'cp $D/dense image', MALFORMED, '*'),
  ...['disk', 'a/disk', '../disk', '/etc/passwd'].map((member) =>
    wrong(
      'archives that are broken, or have no such disk',
      'cp $D/dense other && tar -cf image other',
      ['MEMBER_NOT_FOUND'],
      member,
    ),
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'cp $D/dense a.img && cp a.img b.img && tar -cf image a.img b.img',
    ['MEMBER_NOT_FOUND'],
    '*',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'ln -s /etc/passwd a.img && tar -cf image a.img',
    ['MEMBER_NOT_FOUND'],
    'a.img',
  ),
  wrong(
    'archives that are broken, or have no such disk',
    'ln -s /etc/passwd a.img && zip -q -y out.zip a.img && mv out.zip image',
    ['MEMBER_NOT_FOUND'],
    'a.img',
  ),
];
