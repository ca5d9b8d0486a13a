/**
 * Reads LUKS headers, versions 1 and 2. The source of every rule is the LUKS on-disk format
 * specification of cryptsetup.
 */
import * as z from 'zod';
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { imageFacts, malformed, readExactly, sectors, sizeFindings } from './facts.js';

const V1_HEADER_BYTES = 112;
const BINARY_HEADER_BYTES = 4096;
/** The largest header that the specification allows. */
const MAX_HEADER_BYTES = 4n << 20n;
/**
 * Room for 32 key slots and as many tokens; when parsed, JSON from an untrusted image can need
 * thirty times its length.
 */
const MAX_JSON_BYTES = 64 << 10;

/** Other segments, of which there may be thousands, are not needed. */
const firstOfSegments = z.object({
  segments: z.object({
    '0': z
      .object({ offset: z.string().regex(/^\d{1,19}$/), size: z.string().regex(/^(?:dynamic|\d{1,19})$/) })
      .optional(),
  }),
});

/** The virtual size is that of the payload after the header. */
export async function readLuks(bytes: ByteSource): Promise<ImageFacts> {
  const head = await readExactly(bytes, 0n, V1_HEADER_BYTES, 'luks');
  const version = head.readUInt16BE(6);
  const { payload, fixed }: Segment =
    version === 1
      ? { payload: sectors(head.readUInt32BE(104)) }
      : version === 2
        ? await firstSegment(bytes, head)
        : { payload: -1n };
  if (payload < 0n) throw malformed('luks', `the version is ${String(version)}`);
  if (payload > bytes.lengthBytes) throw malformed('luks', 'the payload begins beyond the end of the file');
  const size = bytes.lengthBytes - payload;
  return imageFacts('luks', size - (size % 512n), {
    encrypted: true,
    luksVersion: version,
    findings: fixed === undefined ? [] : sizeFindings(payload + fixed, bytes.lengthBytes),
  });
}

interface Segment {
  readonly payload: bigint;
  /** Unset: up to the end of the file. */
  readonly fixed?: bigint;
}

async function firstSegment(bytes: ByteSource, head: Buffer): Promise<Segment> {
  const length = head.readBigUInt64BE(8);
  if (length <= BigInt(BINARY_HEADER_BYTES) || length > MAX_HEADER_BYTES)
    throw malformed('luks', `the header is ${String(length)} bytes long`);
  const areaBytes = Math.min(Number(length) - BINARY_HEADER_BYTES, MAX_JSON_BYTES);
  const area = await readExactly(bytes, BigInt(BINARY_HEADER_BYTES), areaBytes, 'luks');
  const end = area.indexOf(0);
  if (end === -1) throw malformed('luks', `the JSON of the header is longer than ${String(MAX_JSON_BYTES)} bytes`);
  const first = parseSegments(area.toString('utf8', 0, end));
  if (first === undefined) throw malformed('luks', 'the header names no segment');
  const payload = BigInt(first.offset);
  return first.size === 'dynamic' ? { payload } : { payload, fixed: BigInt(first.size) };
}

function parseSegments(text: string): z.infer<typeof firstOfSegments>['segments']['0'] {
  try {
    return firstOfSegments.parse(JSON.parse(text)).segments['0'];
  } catch {
    throw malformed('luks', 'the JSON of the header cannot be read');
  }
}
