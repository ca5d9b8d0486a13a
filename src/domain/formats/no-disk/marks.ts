/**
 * Marks of files that are not disks. The source of each is the specification of its format, or the
 * magic of file(1).
 */

import { isArj, isBmp, isMp4, isOpenPgp, isZlib } from './fields.js';

/** Bytes, in hexadecimal, at an offset. */
export interface Mark {
  readonly name: string;
  readonly offset?: number;
  readonly hex: string;
  /** Checks more than the mark, for marks of two bytes. */
  readonly holds?: (head: Buffer) => boolean;
}

const text = (characters: string) => Buffer.from(characters, 'latin1').toString('hex');

/** The third byte holds the code width; bits 5 and 6 are unused. */
const isCompress = (head: Buffer) => {
  const [width, unused] = [head.readUInt8(2) & 31, head.readUInt8(2) & 0x60];
  return unused === 0 && width >= 9 && width <= 16;
};

const follows = (at: number, hex: string) => (head: Buffer) => head.toString('hex', at, at + hex.length / 2) === hex;

/** Old versions have other first bytes. */
const isFirst = (from: number, to: number) => (head: Buffer) => head.readUInt8(0) >= from && head.readUInt8(0) <= to;

/** The DOS header contains the offset of the PE header. */
function isWindowsProgram(head: Buffer): boolean {
  const at = head.readUInt32LE(0x3c);
  return head.toString('latin1', at, at + 4) === 'PE\0\0';
}

/** A dictionary of 2^n or 2^n + 2^(n-1) bytes, and a size that is unknown or below 2^48. */
function isLzma(head: Buffer): boolean {
  const dictionary = head.readUInt32LE(1);
  const high = 2 ** (31 - Math.clz32(dictionary));
  const sized = head.readUInt16LE(11);
  const unknown = head.readBigUInt64LE(5) === 2n ** 64n - 1n;
  return dictionary >= 4096 && (dictionary === high || dictionary === high + high / 2) && (unknown || sized === 0);
}

/** The name follows the header and ends with NUL. */
const isBinaryCpio = (little: boolean) => (head: Buffer) => {
  const length = little ? head.readUInt16LE(20) : head.readUInt16BE(20);
  return length > 1 && length < 256 && head[26 + length - 1] === 0 && !head.subarray(26, 26 + length - 1).includes(0);
};

export const MARKS: readonly Mark[] = [
  // Archives.
  { name: 'a zip archive', hex: '504b0304' },
  { name: 'an empty zip archive', hex: '504b0506' },
  { name: 'a part of a zip archive', hex: '504b0708' },
  { name: 'a 7z archive', hex: '377abcaf271c' },
  { name: 'a rar archive', hex: text('Rar!\x1a\x07') },
  { name: 'a rar archive', hex: text('RE~^') },
  { name: 'a Debian package', hex: text('!<arch>\ndebian') },
  { name: 'an ar archive', hex: text('!<arch>\n') },
  { name: 'an ar archive', hex: text('!<thin>\n') },
  { name: 'an rpm package', hex: 'edabeedb' },
  { name: 'a cpio archive', hex: text('070701') },
  { name: 'a cpio archive', hex: text('070702') },
  { name: 'a cpio archive', hex: text('070707') },
  { name: 'a cpio archive', hex: 'c771', holds: isBinaryCpio(true) },
  { name: 'a cpio archive', hex: '71c7', holds: isBinaryCpio(false) },
  { name: 'a cab archive', hex: text('MSCF\0\0\0\0') },
  { name: 'a cab archive', hex: text('ISc(') },
  { name: 'a xar archive', hex: text('xar!') },
  { name: 'a lha archive', offset: 2, hex: text('-lh'), holds: follows(6, text('-')) },
  { name: 'an ace archive', offset: 7, hex: text('**ACE**') },
  { name: 'a StuffIt archive', hex: text('StuffIt ') },
  { name: 'a StuffIt archive', hex: text('SIT!') },
  { name: 'a zoo archive', offset: 20, hex: 'dca7c4fd' },
  { name: 'a wim image', hex: text('MSWIM\0\0\0') },
  { name: 'an arj archive', hex: '60ea', holds: isArj },
  { name: 'a git pack', hex: text('PACK\0\0\0') },
  { name: 'a git bundle', hex: text('# v2 git bundle') },
  { name: 'a git bundle', hex: text('# v3 git bundle') },
  // Compressions; gzip, xz, zstd and bzip2 are listed for data that was compressed twice.
  { name: 'data compressed by gzip', hex: '1f8b08' },
  { name: 'data compressed by xz', hex: 'fd377a585a00' },
  { name: 'data compressed by zstd', hex: '28b52ffd' },
  { name: 'data compressed by an old zstd', offset: 1, hex: 'b52ffd', holds: isFirst(0x1e, 0x27) },
  { name: 'data compressed by bzip2', hex: text('BZh'), holds: follows(4, '314159265359') },
  { name: 'data compressed by bzip2', hex: text('BZh'), holds: follows(4, '177245385090') },
  { name: 'data compressed by bzip', hex: text('BZ0') },
  { name: 'data compressed by lz4', hex: '04224d18' },
  { name: 'data compressed by lz4', hex: '02214c18' },
  { name: 'a frame to be skipped by lz4 or zstd', offset: 1, hex: '2a4d18', holds: isFirst(0x50, 0x5f) },
  { name: 'data compressed by lzma', hex: '5d00', holds: isLzma },
  { name: 'data compressed by lzip', hex: text('LZIP') },
  { name: 'data compressed by lzop', hex: '894c5a4f000d0a1a0a' },
  { name: 'data compressed by lrzip', hex: text('LRZI') },
  { name: 'data compressed by compress', hex: '1f9d', holds: isCompress },
  { name: 'data compressed by snappy', hex: 'ff060000734e61507059' },
  { name: 'data compressed by zpaq', hex: text('zPQ') },
  { name: 'data compressed by zpaq', hex: text('7kSt') },
  { name: 'data compressed by bzip3', hex: text('BZ3v1') },
  { name: 'data compressed by lzfse', hex: text('bvx2') },
  { name: 'data compressed by lzfse', hex: text('bvx1') },
  { name: 'data compressed by lzfse', hex: text('bvxn') },
  { name: 'data compressed by lzfse', hex: text('bvx-') },
  { name: 'a pbzx stream', hex: text('pbzx') },
  { name: 'data compressed by zlib', hex: '78', holds: isZlib },
  // Encrypted data, which only the program can turn into a disk.
  { name: 'data encrypted by OpenSSL', hex: text('Salted__') },
  { name: 'data encrypted by age', hex: text('age-encryption.org/v') },
  ...['84', '85', '8c', 'c1', 'c3'].map((hex) => ({ name: 'OpenPGP data', hex, holds: isOpenPgp })),
  // Disks in a form that has to be unpacked first.
  { name: 'an Android sparse image', hex: '3aff26ed' },
  { name: 'an Android boot image', hex: text('ANDROID!') },
  { name: 'an Android boot image', hex: text('VNDRBOOT') },
  { name: 'a partclone image', hex: text('partclone-image') },
  { name: 'a partimage image', hex: text('PaRtImAgE-VoLuMe') },
  { name: 'a Proxmox backup', hex: text('VMA\0') },
  { name: 'an EnCase image', hex: text('EVF\x09\x0d\x0a\xff\0') },
  { name: 'an EnCase image', hex: text('EVF2\x0d\x0a\x81\0') },
  { name: 'an AFF image', hex: text('AFF10\r\n\0') },
  { name: 'an Apple sparse image', hex: text('sprs') },
  { name: 'data compressed by zisofs', hex: '37e45396c9dbd607' },
  { name: 'a UBI image', hex: text('UBI#\x01') },
  { name: 'a Windows FFU image', offset: 4, hex: text('SignedImage ') },
  { name: 'a Ghost image', hex: 'feef01', holds: (head) => head.readUInt8(3) <= 10 },
  {
    name: 'a CD image of sectors of 2352 bytes',
    hex: '00ffffffffffffffffffff00',
    holds: (head) => head.readUInt8(15) <= 2,
  },
  { name: 'a MAME image', hex: text('MComprHD') },
  { name: 'a compressed ISO', hex: text('CISO') },
  { name: 'a qcow of an unknown version', hex: '514649fb' },
  { name: 'a U-Boot image', hex: '27051956' },
  { name: 'a device tree', hex: 'd00dfeed' },
  // Files that only describe where to download an image; their dictionary keys are sorted.
  ...['8:announce', '13:announce-list', '7:comment', '10:created by', '4:infod'].map((key) => ({
    name: 'a torrent',
    hex: text(`d${key}`),
  })),
  // Programs.
  { name: 'an ELF program', hex: '7f454c46' },
  { name: 'a Linux kernel', offset: 0x202, hex: text('HdrS') },
  { name: 'a Windows program', hex: text('MZ'), holds: isWindowsProgram },
  { name: 'a Mach-O program', hex: 'cffaedfe' },
  { name: 'a Mach-O program', hex: 'cefaedfe' },
  { name: 'a Java class or Mach-O program', hex: 'cafebabe' },
  { name: 'a WebAssembly module', hex: '0061736d01000000' },
  // Documents.
  { name: 'a PDF document', hex: text('%PDF-') },
  { name: 'a PostScript document', hex: text('%!PS') },
  { name: 'an RTF document', hex: text('{\\rtf') },
  { name: 'an Office document', hex: 'd0cf11e0a1b11ae1' },
  { name: 'a PNG picture', hex: '89504e470d0a1a0a' },
  { name: 'a JPEG picture', hex: 'ffd8ff' },
  { name: 'a TIFF picture', hex: '49492a00' },
  { name: 'a TIFF picture', hex: '4d4d002a' },
  { name: 'a TIFF picture', hex: '49492b00' },
  { name: 'a BMP picture', hex: text('BM'), holds: isBmp },
  { name: 'a WebP picture', hex: text('RIFF'), holds: follows(8, text('WEBP')) },
  { name: 'a WAVE sound', hex: text('RIFF'), holds: follows(8, text('WAVE')) },
  { name: 'an AVI film', hex: text('RIFF'), holds: follows(8, text('AVI ')) },
  { name: 'an MP4 film', offset: 4, hex: text('ftyp'), holds: isMp4 },
  { name: 'an Ogg file', hex: text('OggS') },
  { name: 'a GIF picture', hex: text('GIF8') },
  { name: 'an SQLite database', hex: text('SQLite format 3\0') },
  { name: 'OpenPGP data', hex: text('-----BEGIN PGP') },
];
