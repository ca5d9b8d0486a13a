/** Options that many commands share. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Duration } from '../gen/google/protobuf/duration.js';
import { Preallocation, type FileAttributes } from '../gen/hostler/v1/image.js';

const MAX_UINT32 = 2 ** 32 - 1;

export const PREALLOCATIONS = {
  off: Preallocation.PREALLOCATION_OFF,
  metadata: Preallocation.PREALLOCATION_METADATA,
  falloc: Preallocation.PREALLOCATION_FALLOC,
  full: Preallocation.PREALLOCATION_FULL,
};

export interface OperationFlags {
  readonly detach?: true;
  readonly plan?: true;
  readonly label: Record<string, string>;
  readonly requestId: string;
}

export interface TargetFlags {
  readonly overwrite?: true;
  readonly allowDependants?: true;
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

export type MakeFlags = OperationFlags & TargetFlags;

/** Options of every command that is an operation. */
export function operationOptions(command: Command): Command {
  return command
    .option('--detach', 'print the operation id and leave it running')
    .option('--plan', 'change nothing, say what would be done and why')
    .option('--label <key=value>', 'label the operation; may be given more than once', collectLabel, {})
    .option('--request-id <id>', 'idempotency key', '');
}

/** Options of every command that creates a file. */
export function targetOptions(command: Command): Command {
  return command
    .option('--overwrite', 'replace an existing target')
    .option('--allow-dependants', 'replace it although other images are backed by it')
    .option('--owner <owner>', 'owner of the new file, a name or number')
    .option('--group <group>', 'group of the new file, a name or number')
    .option('--mode <octal>', 'mode of the new file, such as 0640', octal);
}

/** A command that is an operation and creates a file. */
export function makingCommand(name: string): Command {
  return targetOptions(operationOptions(new Command(name)));
}

/** --preallocation: a key of `PREALLOCATIONS`. */
export function preallocation(): Option {
  return new Option('--preallocation <how>', 'allocate beforehand').choices(Object.keys(PREALLOCATIONS)).default('off');
}

/** --bandwidth: bytes a second. */
export function bandwidth(): Option {
  return new Option('--bandwidth <bytes>', 'limit of the rate in bytes a second, such as 50M').argParser(byteCount);
}

/** --allow-in-use */
export function allowInUse(): Option {
  return new Option('--allow-in-use', 'work although a process holds the image');
}

/** The options of every operation as the request's fields. */
export function askOf({ detach, plan, label, requestId }: OperationFlags) {
  return { detach: detach ?? false, planOnly: plan ?? false, labels: label, requestId };
}

/** The options of every command that writes a target as the request's fields. */
export function writableOf({ overwrite, allowDependants, owner, group, mode }: TargetFlags): {
  overwrite: boolean;
  allowDependants: boolean;
  attributes: FileAttributes;
} {
  return {
    overwrite: overwrite ?? false,
    allowDependants: allowDependants ?? false,
    attributes: { owner, group, mode },
  };
}

/** Adds the text of an option that may be repeated. */
export function collectText(text: string, texts: readonly string[]): string[] {
  return [...texts, text];
}

/** Adds one --label KEY=VALUE. Fails with InvalidArgumentError if the KEY or the `=` is missing. */
export function collectLabel(text: string, labels: Record<string, string>): Record<string, string> {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError('must be KEY=VALUE');
  return { ...labels, [key]: value };
}

/** `64K` and the like as bytes. */
export function byteCount(text: string): bigint {
  const [, number, unit = ''] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('must be a number with an optional K, M, G or T');
  return BigInt(number) << BigInt(10 * ['', 'K', 'M', 'G', 'T'].indexOf(unit));
}

/** A whole number that a field of 32 bits holds. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > MAX_UINT32) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}

/** `2.5`. */
export function seconds(text: string): Duration {
  if (!/^\d{1,9}(?:\.\d+)?$/.test(text)) throw new InvalidArgumentError('must be a number of seconds');
  return { seconds: BigInt(Math.floor(Number(text))), nanos: Math.round((Number(text) % 1) * 1e9) };
}

/** `0640`. */
export function octal(text: string): number {
  if (!/^[0-7]{3,4}$/.test(text)) throw new InvalidArgumentError('must be octal');
  return Number.parseInt(text, 8);
}
