import * as z from 'zod';
import type { CheckCounts, Comparison } from '../../domain/ports/changes.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { Extent } from '../../domain/model/image-info.js';
import { limitOfFormat, stateOfImage } from './qemu-words.js';
import { toolError, type ToolEnd } from '../process/tool-error.js';
import { toolReason } from '../linux/tool-words.js';

/** The fraction from a line such as `    (12.34/100%)`; undefined for other lines. */
export function parseProgress(line: string): number | undefined {
  const match = /\(([0-9.]+)\/100%\)/.exec(line);
  return match === null ? undefined : Number(match[1]) / 100;
}

/** The extent from a line of `map --output=json`, which has one extent in each line. */
export function parseExtent(line: string): Extent | undefined {
  const start = number(line, 'start');
  const length = number(line, 'length');
  if (start === undefined || length === undefined) return undefined;
  const offset = number(line, 'offset');
  return {
    offsetBytes: start,
    lengthBytes: length,
    data: line.includes('"data": true'),
    zero: line.includes('"zero": true'),
    depth: Number(number(line, 'depth') ?? 0n),
    ...(offset === undefined ? {} : { fileOffsetBytes: offset }),
  };
}

/** Bytes from `qemu-img measure --output=json`. Fails with TOOL_FAILED if one is missing. */
export function parseMeasure(text: string): { requiredBytes: bigint; fullyAllocatedBytes: bigint } {
  const [requiredBytes, fullyAllocatedBytes] = [number(text, 'required'), number(text, 'fully-allocated')];
  if (requiredBytes === undefined || fullyAllocatedBytes === undefined)
    throw new HostlerError('TOOL_FAILED', 'qemu-img measure printed no sizes');
  return { requiredBytes, fullyAllocatedBytes };
}

/** The two top-level keys of `info --output=json`. */
export function parseIdentity(text: string): { format: string; virtualSizeBytes: bigint } {
  const { data } = z.object({ format: z.string(), 'virtual-size': z.number() }).safeParse(parseJson(text));
  const size = /^ {4}"virtual-size": (\d+)/m.exec(text)?.[1];
  if (data === undefined || size === undefined)
    throw new HostlerError('TOOL_FAILED', 'qemu-img info printed output of an unknown form');
  // Taken from the text: JSON.parse rounds above 2^53.
  return { format: data.format, virtualSizeBytes: BigInt(size) };
}

/** The text around the layer in `info`'s name of an image that contains only the layer. */
const AROUND_A_LAYER = ['json:{"driver": "raw", "file": ', '}'] as const;
const alone = z.strictObject({
  driver: z.string(),
  file: z.strictObject({ driver: z.string(), filename: z.string() }),
});

/**
 * qemu's name of a layer that `info --output=json` shows as the only content of an image: its file
 * name, or, if that is not sufficient, its exact description. Undefined if the description exceeds
 * qemu's limit of a name.
 */
export function parseNameOfLayer(text: string): string | undefined {
  const { data } = z.object({ filename: z.string() }).safeParse(parseJson(text));
  const [before, after] = AROUND_A_LAYER;
  if (data?.filename.startsWith(before) !== true)
    throw new HostlerError('TOOL_FAILED', 'qemu-img info printed output of an unknown form');
  const name = data.filename.slice(before.length, -after.length);
  const described = parseJson(name);
  if (described === undefined) return undefined;
  return alone.safeParse(described).data?.file.filename ?? `json:${name}`;
}

/** The counts of `check --output=json`; missing counts are 0. */
export function parseCheck(text: string): CheckCounts {
  const count = (key: string) => number(text, key) ?? 0n;
  return {
    corruptions: count('corruptions'),
    leaks: count('leaks'),
    checkErrors: count('check-errors'),
    corruptionsFixed: count('corruptions-fixed'),
    leaksFixed: count('leaks-fixed'),
  };
}

/** Parses the output of `compare`: `Content mismatch at offset 1234!`, `Images are identical.` … */
export function parseComparison(text: string): Pick<Comparison, 'firstDifferenceBytes' | 'message'> {
  const lines = text.trim().split('\n');
  const offset = /(?:mismatch|differ)[^\n]* at (?:offset|sector) (\d+)/i.exec(text)?.[1];
  const message = lines.at(-1) ?? '';
  return { message, ...(offset === undefined ? {} : { firstDifferenceBytes: BigInt(offset) }) };
}

/** Translates the complete error output of qemu-img into an error for the caller. */
export function qemuError(stderr: string, exit: Omit<ToolEnd, 'stderr'>): HostlerError {
  const ofLock = /Failed to get .*lock/.test(stderr) ? 'IMAGE_IN_USE' : undefined;
  const reason = ofLock ?? stateOfImage(stderr) ?? toolReason(stderr) ?? limitOfFormat(stderr) ?? 'TOOL_FAILED';
  return toolError('qemu-img', reason, { ...exit, stderr });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON, so not a known output
  }
}

function number(text: string, key: string): bigint | undefined {
  const match = new RegExp(`"${key}": (\\d+)`).exec(text);
  return match?.[1] === undefined ? undefined : BigInt(match[1]);
}
