/**
 * Protobuf as it is on the wire, written by hand: what no library would write can be written too.
 */
import type { Dice } from './dice.js';

/** A field: a varint, eight or four bytes, bytes or a message, or a group. */
export type Wire =
  | { readonly no: number; readonly type: 0; readonly value: bigint }
  | { readonly no: number; readonly type: 1 | 5; readonly value: Buffer }
  | { readonly no: number; readonly type: 2; readonly value: Buffer | readonly Wire[] }
  | { readonly no: number; readonly type: 3; readonly value: readonly Wire[] };

const END_GROUP = 4;
/** Of a field's number. */
const LARGEST = 2 ** 29 - 1;

/** A message of these fields. */
export function encode(fields: readonly Wire[]): Buffer {
  return Buffer.concat(fields.flatMap(pieces));
}

/** The fields of a message, one level deep; nothing when it is none. */
export function decode(bytes: Buffer): Wire[] | undefined {
  const fields: Wire[] = [];
  for (let at = 0; at < bytes.length;) {
    const [key, afterKey] = readVarint(bytes, at);
    if (key === undefined) return undefined;
    const [no, type] = [Number(key >> 3n), Number(key & 7n)];
    const [number, afterNumber] = type === 0 || type === 2 ? readVarint(bytes, afterKey) : [0n, afterKey];
    if (number === undefined) return undefined;
    const length = type === 2 ? Number(number) : type === 1 ? 8 : type === 5 ? 4 : 0;
    at = afterNumber + length;
    if (at > bytes.length || type === 3 || type > 5 || type === END_GROUP) return undefined;
    const value = bytes.subarray(afterNumber, at);
    if (type === 0) fields.push({ no, type, value: number });
    else if (type === 2) fields.push({ no, type, value });
    else fields.push({ no, type: type === 1 ? 1 : 5, value });
  }
  return fields;
}

function pieces(field: Wire): Buffer[] {
  const key = varint((BigInt(field.no) << 3n) | BigInt(field.type));
  if (field.type === 0) return [key, varint(field.value)];
  if (field.type === 1 || field.type === 5) return [key, field.value];
  const inner = Buffer.isBuffer(field.value) ? field.value : encode(field.value);
  if (field.type === 2) return [key, varint(BigInt(inner.length)), inner];
  return [key, inner, varint((BigInt(field.no) << 3n) | BigInt(END_GROUP))];
}

/** Of a number modulo 2^64, so that negative ones are as protobuf has them. */
export function varint(number: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, number);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

function readVarint(bytes: Buffer, from: number): [bigint | undefined, number] {
  let value = 0n;
  for (let at = from; at < Math.min(bytes.length, from + 10); at++) {
    const byte = bytes[at] ?? 0;
    value |= BigInt(byte & 127) << BigInt(7 * (at - from));
    if (byte < 128) return [value, at + 1];
  }
  return [undefined, from];
}

/** Spoils a message on the wire. */
export function spoil(fields: readonly Wire[], dice: Dice): Buffer {
  const bytes = encode(fields);
  const own = fields.length === 0 ? 1 : dice.pick(fields).no;
  return dice.pick([
    () => Buffer.concat([bytes, encode([unknown(dice)])]),
    () => Buffer.concat([encode([unknown(dice)]), bytes]),
    () => encode(fields.map((field) => (dice.chance(0.5) ? field : retyped(field, dice)))),
    () => Buffer.concat([bytes, nested(own, 2, dice.pick([10, 99, 101, 1000, 10_000]))]),
    () => Buffer.concat([bytes, nested(dice.pick([own, 15, 1000]), 3, dice.pick([1, 99, 1000, 10_000, 60_000]))]),
    () => Buffer.concat([bytes, varint((BigInt(own) << 3n) | BigInt(dice.pick([3, 4, 6, 7])))]),
    () => bytes.subarray(0, dice.below(bytes.length + 1)),
    () => flood(fields, dice),
    () => Buffer.concat([bytes, key(own, 0), Buffer.alloc(dice.pick([9, 10, 11, 1000]), 0xff), Buffer.from([1])]),
    () =>
      Buffer.concat([
        bytes,
        key(own, 2),
        varint(dice.pick([1n, 2n ** 31n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n])),
      ]),
    () => Buffer.concat([bytes, encode([{ no: own, type: 2, value: Buffer.from(dice.pick(BAD_UTF8), 'latin1') }])]),
    () => flipped(bytes, dice),
    () => Buffer.concat([bytes, bytes, bytes]),
    () => dice.bytes(dice.below(200)),
  ])();
}

/** Overlong, cut short, lone surrogates, beyond the last code point. */
const BAD_UTF8 = [
  '\xc0\xaf',
  '\xe2\x82',
  '\xed\xa0\x80',
  '\xf4\x90\x80\x80',
  '\xff\xfe',
  '/\x80',
  '\xf8\x88\x80\x80\x80',
];

const key = (no: number, type: number) => varint((BigInt(no) << 3n) | BigInt(type));

function unknown(dice: Dice): Wire {
  const no = dice.pick([0, 99, 104, 19_000, 19_999, LARGEST, 2 ** 31]);
  return retyped({ no, type: 0, value: 7n }, dice);
}

function retyped({ no }: Wire, dice: Dice): Wire {
  return dice.pick<Wire>([
    { no, type: 0, value: dice.pick([0n, 1n, 2n ** 63n, -1n]) },
    { no, type: 1, value: Buffer.alloc(8, 0xff) },
    { no, type: 5, value: Buffer.alloc(4, 0xff) },
    { no, type: 2, value: dice.bytes(dice.below(40)) },
    { no, type: 3, value: [{ no: 1, type: 0, value: 1n }] },
  ]);
}

function nested(no: number, type: 2 | 3, depth: number): Buffer {
  if (type === 3)
    return Buffer.concat([...Array<Buffer>(depth).fill(key(no, 3)), ...Array<Buffer>(depth).fill(key(no, 4))]);
  let inner = Buffer.alloc(0);
  for (let n = 0; n < Math.min(depth, 1000); n++)
    inner = Buffer.concat([key(no, 2), varint(BigInt(inner.length)), inner]);
  return inner;
}

/** One of the fields, or one that may be a list, as often as the bytes allow. */
function flood(fields: readonly Wire[], dice: Dice): Buffer {
  const one = encode([
    dice.pick<Wire>([
      ...fields,
      { no: 1 + dice.below(16), type: 2, value: Buffer.alloc(0) },
      { no: 1 + dice.below(16), type: 0, value: 99n },
      { no: 101, type: 2, value: [{ no: 1, type: 2, value: dice.bytes(2) }] },
    ]),
  ]);
  const most = dice.pick([60_000, 60_000, 64 << 10, 300_000, 4 << 20]);
  return Buffer.concat([encode(fields), Buffer.alloc(Math.max(1, Math.floor(most / one.length)) * one.length, one)]);
}

function flipped(bytes: Buffer, dice: Dice): Buffer {
  const copy = Buffer.from(bytes);
  for (let n = 1 + dice.below(5); n > 0 && copy.length > 0; n--) copy[dice.below(copy.length)] = dice.below(256);
  return copy;
}
