import * as z from 'zod';
import type { CheckCounts, Comparison } from '../../domain/ports/changes.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { Extent } from '../../domain/model/image-info.js';
import { limitOfFormat, stateOfImage } from './qemu-words.js';
import { toolError, type ToolEnd } from '../process/tool-error.js';
import { toolReason } from '../linux/tool-words.js';

/** `    (12.34/100%)` as a fraction, when the line is one. */
export function parseProgress(line: string): number | undefined {
  const match = /\(([0-9.]+)\/100%\)/.exec(line);
  return match === null ? undefined : Number(match[1]) / 100;
}

/** A line of `map --output=json`: one extent each. */
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

/** Bytes out of `qemu-img measure --output=json`. Fails with TOOL_FAILED when one is missing. */
export function parseMeasure(text: string): { requiredBytes: bigint; fullyAllocatedBytes: bigint } {
  const [requiredBytes, fullyAllocatedBytes] = [number(text, 'required'), number(text, 'fully-allocated')];
  if (requiredBytes === undefined || fullyAllocatedBytes === undefined)
    throw new HostlerError('TOOL_FAILED', 'qemu-img measure printed no sizes');
  return { requiredBytes, fullyAllocatedBytes };
}

/** `info --output=json`, by its two keys at the top. */
export function parseIdentity(text: string): { format: string; virtualSizeBytes: bigint } {
  const { data } = z.object({ format: z.string(), 'virtual-size': z.number() }).safeParse(parseJson(text));
  const size = /^ {4}"virtual-size": (\d+)/m.exec(text)?.[1];
  if (data === undefined || size === undefined)
    throw new HostlerError('TOOL_FAILED', 'qemu-img info printed output of an unknown form');
  // As written: JSON.parse rounds beyond 2^53.
  return { format: data.format, virtualSizeBytes: BigInt(size) };
}

/** What `info` calls an image in which there is nothing but a layer. */
const AROUND_A_LAYER = ['json:{"driver": "raw", "file": ', '}'] as const;
const alone = z.strictObject({
  driver: z.string(),
  file: z.strictObject({ driver: z.string(), filename: z.string() }),
});

/**
 * What qemu calls a layer that `info --output=json` shows as all that is in an image: the name of
 * its file, or, where that does not say all of it, its description to the letter. Undefined where
 * that is longer than qemu's own limit of a name.
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

/** `check --output=json`; what is not said is 0. */
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

/** What `compare` says: `Content mismatch at offset 1234!`, `Images are identical.` … */
export function parseComparison(text: string): Pick<Comparison, 'firstDifferenceBytes' | 'message'> {
  const lines = text.trim().split('\n');
  const offset = /(?:mismatch|differ)[^\n]* at (?:offset|sector) (\d+)/i.exec(text)?.[1];
  const message = lines.at(-1) ?? '';
  return { message, ...(offset === undefined ? {} : { firstDifferenceBytes: BigInt(offset) }) };
}

/** What qemu-img's words, all of them, mean to a caller. */
export function qemuError(stderr: string, exit: Omit<ToolEnd, 'stderr'>): HostlerError {
  const ofLock = /Failed to get .*lock/.test(stderr) ? 'IMAGE_IN_USE' : undefined;
  const reason = ofLock ?? stateOfImage(stderr) ?? toolReason(stderr) ?? limitOfFormat(stderr) ?? 'TOOL_FAILED';
  return toolError('qemu-img', reason, { ...exit, stderr });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // what is no JSON is nothing that we know
  }
}

function number(text: string, key: string): bigint | undefined {
  const match = new RegExp(`"${key}": (\\d+)`).exec(text);
  return match?.[1] === undefined ? undefined : BigInt(match[1]);
}
