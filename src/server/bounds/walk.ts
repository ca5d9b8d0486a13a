/**
 * Checks the bytes of a request before it is decoded: needs no memory, and time only for the number
 * of fields. Stops at the first violation.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { FieldViolation } from '../../domain/model/errors.js';
import type { FieldShape, Shape } from './shapes.js';

/** No valid request nests messages deeper. */
export const MAX_DEPTH = 8;
/**
 * No valid request has half as many fields, including those of nested messages. Unknown fields, and
 * repetitions of a single field, have no limit of their own: half a million of them in 1 MiB
 * blocked the main thread for 0.3 s.
 */
export const MAX_FIELDS = 16_384;
const KEY = 1;
const VALUE = 2;

/** The violation in a request, as far as its bytes show; undefined: every field keeps its limit. */
export function firstViolation(shape: Shape, bytes: Uint8Array): FieldViolation | undefined {
  try {
    walk(shape, bytes, '', { depth: MAX_DEPTH, budget: { fields: MAX_FIELDS } });
    return undefined;
  } catch (error) {
    if (error instanceof OutOfBounds) return error.violation;
    return { field: '', description: `this is no message of the type ${shape.name}` };
  }
}

class OutOfBounds extends Error {
  constructor(readonly violation: FieldViolation) {
    super(violation.description);
  }
}

function refuse(field: string, description: string): never {
  throw new OutOfBounds({ field, description });
}

interface Seen {
  items: number;
  bytes: number;
}

/** The remaining budget: depth, and number of fields. */
interface Left {
  readonly depth: number;
  readonly budget: { fields: number };
}

function spend({ budget }: Left, name: string): void {
  budget.fields -= 1;
  if (budget.fields < 0) refuse(name, `more than ${String(MAX_FIELDS)} fields in all`);
}

/** Throws OutOfBounds, or any error of the reader for bytes that are not a message. */
function walk({ fields }: Shape, bytes: Uint8Array, above: string, left: Left): void {
  if (left.depth === 0) refuse(above, `has more than ${String(MAX_DEPTH)} messages in each other`);
  const seen = new Map<number, Seen>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    spend(left, above);
    const [number, wire] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) skip(reader, wire, number);
    else if (wire !== WireType.LengthDelimited) count(field, path(above, field), seen, number, wire, reader);
    else check(field, reader.bytes(), path(above, field), seenOf(seen, number), left);
  }
}

const path = (above: string, { name }: FieldShape) => (above === '' ? name : `${above}.${name}`);

/**
 * Groups are not used by the contract, and nested groups would make a reader recurse without end.
 */
function skip(reader: BinaryReader, wire: WireType, number: number): void {
  if (wire === WireType.StartGroup || wire === WireType.EndGroup) throw new Error('groups are not used');
  reader.skip(wire, number);
}

function seenOf(seen: Map<number, Seen>, number: number): Seen {
  const known = seen.get(number) ?? { items: 0, bytes: 0 };
  seen.set(number, known);
  return known;
}

/** A number in a list that is not packed. */
function count(
  field: FieldShape,
  name: string,
  seen: Map<number, Seen>,
  number: number,
  wire: WireType,
  reader: BinaryReader,
): void {
  const from = reader.pos;
  skip(reader, wire, number);
  if (field.kind === 'list')
    add(field.bound.items, field.bound.totalBytes, 1, reader.pos - from, name, seenOf(seen, number));
}

function check(field: FieldShape, value: Uint8Array, name: string, seen: Seen, left: Left): void {
  switch (field.kind) {
    case 'text':
      assertBytes(value, field.bound.bytes, name);
      return;
    case 'message':
      walk(field.message, value, name, { ...left, depth: left.depth - 1 });
      return;
    case 'map':
      add(field.bound.entries, field.bound.totalBytes, 1, value.length, name, seen);
      checkEntry(field.bound, value, name);
      return;
    case 'list': {
      const { items, totalBytes, bytes } = field.bound;
      add(items, totalBytes, field.packable ? packed(value, field.fixedBytes) : 1, value.length, name, seen);
      if (bytes !== undefined) assertBytes(value, bytes, name);
      if (field.message !== undefined) walk(field.message, value, name, { ...left, depth: left.depth - 1 });
      return;
    }
  }
}

function add(items: number, totalBytes: number, by: number, bytes: number, name: string, seen: Seen): void {
  seen.items += by;
  seen.bytes += bytes;
  if (seen.items > items) refuse(name, `more than ${String(items)}`);
  if (seen.bytes > totalBytes) refuse(name, `longer than ${String(totalBytes)} bytes in all`);
}

function checkEntry(
  bound: { readonly keyBytes: number; readonly valueBytes: number },
  entry: Uint8Array,
  name: string,
) {
  const reader = new BinaryReader(entry);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (wire !== WireType.LengthDelimited) skip(reader, wire, number);
    else {
      const value = reader.bytes();
      if (number === KEY) assertKey(value, bound.keyBytes, `${name} (a key)`);
      else if (number === VALUE) assertBytes(value, bound.valueBytes, `${name} (a value)`);
    }
  }
}

/** When decoded it would not be a key, but set the object's prototype. */
const NO_KEY = Buffer.from('__proto__');

function assertKey(key: Uint8Array, bytes: number, name: string): void {
  assertBytes(key, bytes, name);
  if (NO_KEY.equals(key)) refuse(name, 'must not be __proto__');
}

function assertBytes({ length }: Uint8Array, bytes: number, name: string): void {
  if (length > bytes) refuse(name, `longer than ${String(bytes)} bytes`);
}

/** The number of items in a packed list: each varint ends with a byte below 128. */
function packed(value: Uint8Array, fixedBytes: 0 | 4 | 8): number {
  if (fixedBytes !== 0) return Math.ceil(value.length / fixedBytes);
  let items = 0;
  for (const byte of value) if (byte < 128) items += 1;
  return items;
}
