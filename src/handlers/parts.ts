/**
 * Messages that are made part by part, so that one part that cannot be sent does not take the
 * others along.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Warning } from '../gen/hostler/v1/operation.js';

/** Leaves room for the rest of a message of 4 MiB. */
const MAX_PART_BYTES = 3.5 * 1024 * 1024;
const MAX_UINT32 = 2 ** 32 - 1;

/** Makes a message part by part and notes the names of parts that cannot be sent. */
export class Parts {
  /** Names of the parts that were left out. */
  readonly notShown: string[] = [];

  /**
   * @param wanted `whole`: nothing is checked or left out; the encoder of the message fails on what
   * cannot be sent
   */
  constructor(private readonly wanted: 'whole' | 'what can be sent') {}

  /** The part; undefined when it cannot be made. */
  take<T>(name: string, make: () => T): T | undefined {
    if (this.wanted === 'whole') return make();
    try {
      return make();
    } catch {
      this.notShown.push(name); // the answer says so
      return undefined;
    }
  }

  text(name: string, make: () => string): string | undefined {
    return this.take(name, () => asText(make()));
  }

  /**
   * A message; undefined also when it cannot be encoded, or is so long that nobody would take it.
   */
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

/** What the table has for the word; its own words only. Fails on others. */
export function wordOf<T>(table: Readonly<Record<string, T>>, word: string): T {
  const found = Object.hasOwn(table, word) ? table[word] : undefined;
  if (found === undefined) throw unfit('a word');
  return found;
}

/**
 * Records may come from another version of the daemon: what their type says is looked at all the
 * same.
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

/** A warning on the wire; throws when one of its fields is no string. */
export function asWarning({ reason, message }: { readonly reason: string; readonly message: string }): Warning {
  return { reason: asText(reason), message: asText(message) };
}

/** Several warnings, for measuring their size. */
export function encodeWarnings(warnings: readonly Warning[]): BinaryWriter {
  const writer = new BinaryWriter();
  for (const warning of warnings) Warning.encode(warning, writer);
  return writer;
}
