/**
 * Messages that are built part by part, so that one part that cannot be sent does not affect the
 * others.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Warning } from '../gen/hostler/v1/operation.js';

/** Leaves room for the rest of a message of 4 MiB. */
const MAX_PART_BYTES = 3.5 * 1024 * 1024;
const MAX_UINT32 = 2 ** 32 - 1;

/** Builds a message part by part and records the names of parts that cannot be sent. */
export class Parts {
  /** Names of the parts that were left out. */
  readonly notShown: string[] = [];

  /**
   * @param wanted `whole`: nothing is checked or left out; the encoder of the message fails if a
   * part cannot be sent
   */
  constructor(private readonly wanted: 'whole' | 'what can be sent') {}

  /** The part; undefined if it cannot be built. */
  take<T>(name: string, make: () => T): T | undefined {
    if (this.wanted === 'whole') return make();
    try {
      return make();
    } catch {
      this.notShown.push(name); // the answer names it
      return undefined;
    }
  }

  text(name: string, make: () => string): string | undefined {
    return this.take(name, () => asText(make()));
  }

  /** A message; undefined also if it cannot be encoded, or is too long for any client. */
  message<T>(name: string, make: () => T, encode: (message: T) => BinaryWriter): T | undefined {
    if (this.wanted === 'whole') return make();
    return this.take(name, () => {
      const message = make();
      const { length } = encode(message).finish();
      if (length > MAX_PART_BYTES) throw unfit(`${String(length)} bytes`);
      return message;
    });
  }
}

/** The table's entry for the word; own properties only. Fails for other words. */
export function wordOf<T>(table: Readonly<Record<string, T>>, word: string): T {
  const found = Object.hasOwn(table, word) ? table[word] : undefined;
  if (found === undefined) throw unfit('a word');
  return found;
}

/**
 * Records may come from another version of the daemon, so values are checked despite their types.
 */
export function asText(value: unknown): string {
  if (typeof value !== 'string') throw unfit(typeof value);
  return value;
}

/** The number, if it fits a uint32; throws otherwise. */
export function asUint32(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > MAX_UINT32) throw unfit('a number');
  return value;
}

/** The map, if every value is a string; throws otherwise. */
export function allTexts(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, asText(value)]));
}

function unfit(what: string): Error {
  return new Error(`${what} that cannot be sent`);
}

/** A warning on the wire; throws if one of its fields is not a string. */
export function asWarning({ reason, message }: { readonly reason: string; readonly message: string }): Warning {
  return { reason: asText(reason), message: asText(message) };
}

/** Several warnings, for measuring their size. */
export function encodeWarnings(warnings: readonly Warning[]): BinaryWriter {
  const writer = new BinaryWriter();
  for (const warning of warnings) Warning.encode(warning, writer);
  return writer;
}
