/** Messages of any type with a value in every field, made from their descriptors. */
import { ScalarType, create, toBinary, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt';

/** Deeper than any message of the contract: a type that contains itself would have no end. */
const MAX_DEPTH = 12;
/** The largest values, and characters of one to four bytes: what other readers of JSON get wrong. */
const SCALARS: Readonly<Record<number, unknown>> = {
  [ScalarType.STRING]: 'a "é" € 😀 \n <&>',
  [ScalarType.BYTES]: Uint8Array.from({ length: 256 }, (_, index) => 255 - index),
  [ScalarType.BOOL]: true,
  [ScalarType.INT32]: -(2 ** 31),
  [ScalarType.UINT32]: 2 ** 32 - 1,
  [ScalarType.INT64]: -(2n ** 63n),
  [ScalarType.UINT64]: 2n ** 64n - 1n,
  [ScalarType.DOUBLE]: 1.5,
  [ScalarType.FLOAT]: 0.25,
};
/** With 3, 6 and 9 digits after the point, and without any. */
const NANOS = [500_000_000, 1_000, 1, 0];

/**
 * So many messages of a type that each field is set in one of them: the next has the next member of
 * each oneof, at all depths. An Any gets one of the details.
 */
export function filledMessages(type: DescMessage, details: readonly DescMessage[]): Uint8Array[] {
  const members = Math.max(1, ...oneofSizes(type, new Set()));
  return Array.from({ length: members }, (_, turn) => toBinary(type, filled(type, { turn, details }, 0)));
}

interface Filling {
  readonly turn: number;
  readonly details: readonly DescMessage[];
}

function filled(type: DescMessage, how: Filling, depth: number): Message {
  if (depth > MAX_DEPTH) throw new Error(`${type.typeName} contains itself`);
  if (type.typeName === AnySchema.typeName) return packed(how, depth);
  const message = reflect(type);
  for (const member of type.members)
    if (member.kind === 'field') setField(message, member, how, depth);
    else setField(message, member.fields[how.turn % member.fields.length] as DescField, how, depth);
  return message.message;
}

function packed(how: Filling, depth: number): Message {
  const detail = how.details[how.turn % how.details.length];
  if (detail === undefined) throw new Error('no type of a detail was given');
  return anyPack(detail, filled(detail, how, depth + 1));
}

function setField(message: ReflectMessage, field: DescField, how: Filling, depth: number): void {
  const inner = (type: DescMessage) => reflect(type, filled(type, how, depth + 1));
  switch (field.fieldKind) {
    case 'list': {
      const list = message.get(field);
      if (field.listKind === 'message') list.add(inner(field.message));
      else list.add(field.listKind === 'enum' ? lastOf(field.enum) : SCALARS[field.scalar]);
      return;
    }
    case 'map': {
      const map = message.get(field);
      const key = field.mapKey === ScalarType.STRING ? 'a key' : SCALARS[field.mapKey];
      if (field.mapKind === 'message') map.set(key, inner(field.message));
      else map.set(key, field.mapKind === 'enum' ? lastOf(field.enum) : SCALARS[field.scalar]);
      return;
    }
    case 'message':
      message.set(field, inner(field.message));
      return;
    case 'enum':
      message.set(field, lastOf(field.enum));
      return;
    case 'scalar':
      message.set(field, scalarOf(field, how));
  }
}

/** Of a time and a duration, which JSON has as text, what they may have. */
function scalarOf(field: DescField & { fieldKind: 'scalar' }, { turn }: Filling): unknown {
  const { typeName } = field.parent;
  if (typeName === 'google.protobuf.Timestamp' || typeName === 'google.protobuf.Duration')
    return field.name === 'nanos' ? NANOS[turn % NANOS.length] : 1_764_403_200n;
  const value = SCALARS[field.scalar];
  if (value === undefined) throw new Error(`${field.parent.typeName}.${field.name} has a type without a value here`);
  return value;
}

function lastOf({ values }: { readonly values: readonly { readonly number: number }[] }): number {
  return values.at(-1)?.number ?? 0;
}

function oneofSizes(type: DescMessage, seen: Set<string>): number[] {
  if (seen.has(type.typeName)) return [];
  seen.add(type.typeName);
  const below = type.fields.flatMap((field) => (field.message === undefined ? [] : oneofSizes(field.message, seen)));
  return [...type.oneofs.map(({ fields }) => fields.length), ...below];
}

/** A message of the type with nothing set. */
export function emptyMessage(type: DescMessage): Uint8Array {
  return toBinary(type, create(type));
}
