/**
 * Where the bytes of a file are stored (FIEMAP, linux/fiemap.h), by synchronous calls through
 * koffi.
 */
import { loadKoffi } from './koffi.js';

const FS_IOC_FIEMAP = 0xc020660b;
/** Sizes of struct fiemap and struct fiemap_extent. */
const [HEAD_BYTES, EXTENT_BYTES] = [32, 56];
const [MAPPED_AT, ROOM_AT] = [20, 24];
const [LOGICAL_AT, LENGTH_AT, FLAGS_AT] = [0, 16, 40];
/** Extents in one call. */
const EXTENTS = 256;
const [LAST, ENCODED, SHARED] = [0x1, 0x8, 0x2000];

type Ioctl = (fd: number, request: number, argument: Buffer) => number;

/** The extents of files on local filesystems. */
export class ExtentMap {
  private constructor(private readonly ioctl: Ioctl) {}

  /** Undefined on a host without a build of koffi. */
  static load(): ExtentMap | undefined {
    const ioctl = loadKoffi()?.load(null).func('ioctl', 'int', ['int', 'ulong', 'void *']);
    return ioctl === undefined ? undefined : new ExtentMap((...words) => Number(ioctl(...words)));
  }

  /**
   * How many bytes of an open file, from `from` up to `to`, can be overwritten in place: they have
   * blocks that no other file shares and that are not packed. Undefined if the filesystem does not
   * report it.
   */
  ownBytes(fd: number, from: bigint, to: bigint): bigint | undefined {
    const answer = Buffer.alloc(HEAD_BYTES + EXTENTS * EXTENT_BYTES);
    let own = 0n;
    for (let at = from; at < to;) {
      answer.fill(0, 0, HEAD_BYTES);
      answer.writeBigUInt64LE(at, 0);
      answer.writeBigUInt64LE(to - at, 8);
      answer.writeUInt32LE(EXTENTS, ROOM_AT);
      if (this.ioctl(fd, FS_IOC_FIEMAP, answer) !== 0) return undefined;
      const extents = extentsOf(answer);
      for (const { start, end, flags } of extents)
        if ((flags & (ENCODED | SHARED)) === 0) own += overlap({ start, end }, { start: at, end: to });
      const last = extents.at(-1);
      if (last === undefined || last.end <= at || (last.flags & LAST) !== 0) break;
      at = last.end;
    }
    return own;
  }
}

interface Extent {
  readonly start: bigint;
  readonly end: bigint;
  readonly flags: number;
}

function extentsOf(answer: Buffer): Extent[] {
  return Array.from({ length: answer.readUInt32LE(MAPPED_AT) }, (_, index) => {
    const extent = answer.subarray(HEAD_BYTES + index * EXTENT_BYTES);
    const start = extent.readBigUInt64LE(LOGICAL_AT);
    return { start, end: start + extent.readBigUInt64LE(LENGTH_AT), flags: extent.readUInt32LE(FLAGS_AT) };
  });
}

function overlap(one: Omit<Extent, 'flags'>, other: Omit<Extent, 'flags'>): bigint {
  const start = one.start > other.start ? one.start : other.start;
  const end = one.end < other.end ? one.end : other.end;
  return end > start ? end - start : 0n;
}
