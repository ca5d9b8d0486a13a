/** Bytes that no reader was made for. The same seed gives the same bytes. */
import { HostlerError } from '../../../src/domain/model/errors.js';
import type { ByteSource } from '../../../src/domain/ports/images.js';
import { readEverything } from '../header.js';

/** Read in all, for one header. */
export const MOST_BYTES = 8 << 20;
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

/** Undefined, or what is wrong: anything but facts and IMAGE_MALFORMED, or too much read. */
export async function judge(bytes: ByteSource): Promise<string | undefined> {
  let total = 0;
  const counted: ByteSource = {
    lengthBytes: bytes.lengthBytes,
    read(offset, length) {
      total += length;
      return bytes.read(offset, length);
    },
  };
  try {
    await readEverything(counted);
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'IMAGE_MALFORMED')
      return String(error instanceof Error ? error.stack : error);
  }
  return total > MOST_BYTES ? `it read ${String(total)} bytes` : undefined;
}

/**
 * A copy with a few changes: bits, bytes, whole numbers, runs copied elsewhere, a cut. Most fall
 * where headers are.
 */
export function mutate(content: Buffer, random: () => number): Buffer {
  const changed = Buffer.from(content);
  const below = (limit: number) => Math.floor(random() * limit);
  const place = () => below(random() < 0.7 ? Math.min(changed.length, 1024) : changed.length);
  for (let changes = 1 + below(6); changes > 0; changes--) {
    const at = place();
    const kind = below(6);
    if (kind === 0) changed[at] = (changed[at] ?? 0) ^ (1 << below(8));
    else if (kind === 1) changed[at] = INTERESTING[below(INTERESTING.length)] ?? 0;
    else if (kind === 2) changed[at] = below(256);
    else if (kind === 3) changed.fill(random() < 0.5 ? 0xff : 0, at, Math.min(changed.length, at + (1 << below(4))));
    else if (kind === 4) changed.copy(changed, at, place(), place());
    else if (at + 8 <= changed.length) changed.writeBigUInt64BE(1n << BigInt(below(64)), at);
  }
  return random() < 0.1 ? changed.subarray(0, below(changed.length)) : changed;
}
