import type { DataExtent } from '../model/block-digest.js';
import type { Segment } from './agents.js';

/** Start, inclusive, and end, exclusive. */
export interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

const SECTOR = 512n;

/** Longer holes are not queried: NBD returns at most 2 GiB at a time, with a round trip each. */
const LONG_HOLE = 1n << 30n;

/**
 * Cuts the rest of a file into segments with this much data each; holes do not count. So what a
 * lost segment costs is the time to move it again. Long holes are separate segments without data.
 */
export function cutSegments(
  extents: readonly DataExtent[],
  done: readonly Range[],
  lengthBytes: bigint,
  segmentBytes: bigint,
): Segment[] {
  const data = extents.filter((extent) => extent.data);
  let next = 0;
  return gaps(done, lengthBytes).flatMap((gap) => {
    while (endOf(data[next]) <= gap.from && next < data.length) next += 1;
    const first = next;
    while (next < data.length && (data[next]?.offsetBytes ?? gap.to) < gap.to) next += 1;
    const segments = cutGap(gap, data.slice(first, next), segmentBytes);
    // The last extent may reach into the next gap.
    next = Math.max(first, next - 1);
    return segments;
  });
}

function endOf(extent: DataExtent | undefined): bigint {
  return extent === undefined ? 0n : extent.offsetBytes + extent.lengthBytes;
}

function cutGap(gap: Range, data: readonly DataExtent[], segmentBytes: bigint): Segment[] {
  const segments: Segment[] = [];
  let [from, at, dataBytes] = [gap.from, gap.from, 0n];
  const close = (to: bigint) => {
    if (to > from) segments.push({ from, to, dataBytes });
    [from, at, dataBytes] = [to, to, 0n];
  };
  for (const { offsetBytes, lengthBytes } of data) {
    const end = least(offsetBytes + lengthBytes, gap.to);
    if (end <= at) continue;
    if (offsetBytes > at + LONG_HOLE) {
      close(at);
      close(offsetBytes);
    }
    if (offsetBytes > at) at = offsetBytes;
    while (at < end) {
      const piece = least(end - at, segmentBytes - dataBytes);
      [at, dataBytes] = [at + piece, dataBytes + piece];
      if (dataBytes === segmentBytes) close(at);
    }
  }
  if (gap.to > at + LONG_HOLE) close(at);
  close(gap.to);
  return segments;
}

/** The parts that no range covers. */
export function gaps(done: readonly Range[], lengthBytes: bigint): Range[] {
  const left: Range[] = [];
  let at = 0n;
  for (const { from, to } of done) {
    if (from > at) left.push({ from: at, to: from });
    if (to > at) at = to;
  }
  if (at < lengthBytes) left.push({ from: at, to: lengthBytes });
  return left;
}

/** Adds a range, in order; adjacent ranges are merged. */
export function withRange(done: readonly Range[], range: Range): Range[] {
  const merged: Range[] = [];
  for (const next of [...done, range].sort((a, b) => (a.from < b.from ? -1 : 1))) {
    const last = merged.at(-1);
    if (last !== undefined && next.from <= last.to)
      merged[merged.length - 1] = { from: last.from, to: last.to > next.to ? last.to : next.to };
    else merged.push(next);
  }
  return merged;
}

/** The text of ranges for a checkpoint. */
export function rangesText(ranges: readonly Range[]): string {
  return ranges.map(({ from, to }) => `${String(from)}-${String(to)}`).join(',');
}

/** Parses the text of `rangesText`. */
export function parseRanges(text: string): Range[] {
  return [...text.matchAll(/(\d{1,20})-(\d{1,20})/g)].map(([, from = '0', to = '0']) => ({
    from: BigInt(from),
    to: BigInt(to),
  }));
}

/** A multiple of the sector size, so that every boundary is aligned. */
export function segmentSize(dataBytes: bigint, wanted: bigint, most: bigint): bigint {
  const least_ = (dataBytes + most - 1n) / most;
  const size = least_ > wanted ? least_ : wanted;
  return ((size + SECTOR - 1n) / SECTOR) * SECTOR;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
