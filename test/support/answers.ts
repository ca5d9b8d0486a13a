/**
 * Answers with a value at any of their fields, made from the descriptors: no field is named by
 * hand.
 */
import { create, toBinary, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';

/** From an answer down to a field. */
export type Path = readonly DescField[];

/** Where a number stands in an answer, in messages that lie at most so deep. */
export function numbersOf(message: DescMessage, above: Path = [], depth = 6): Path[] {
  return message.fields.flatMap((field) => {
    const path = [...above, field];
    if (isNumber(field)) return [path];
    const inner = messageOf(field);
    return inner === undefined || above.length >= depth || above.some(({ parent }) => parent === inner)
      ? []
      : numbersOf(inner, path, depth);
  });
}

/** `uint64`, `uint32`, `int64` or `int32`. */
export function kindOf(path: Path): Kind {
  const { scalar } = path.at(-1) ?? {};
  const kind = scalar === undefined ? undefined : KINDS[scalar];
  if (kind === undefined) throw new Error('no number');
  return kind;
}

export type Kind = 'uint64' | 'uint32' | 'int64' | 'int32';
/** By the numbers of google.protobuf.FieldDescriptorProto.Type. */
const KINDS: Readonly<Record<number, Kind>> = { 3: 'int64', 4: 'uint64', 5: 'int32', 13: 'uint32' };

/** Values that each kind holds, and values that it does not. */
export const BORDERS: Readonly<
  Record<Kind, { readonly held: readonly unknown[]; readonly beyond: readonly unknown[] }>
> = {
  uint64: { held: [1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n], beyond: [-1n, 2n ** 64n, 2n ** 200n, NaN, null] },
  int64: { held: [-(2n ** 63n), -1n, 2n ** 63n - 1n], beyond: [-(2n ** 63n) - 1n, 2n ** 63n, NaN, null] },
  uint32: { held: [1, 2 ** 31, 2 ** 32 - 1], beyond: [-1, 2 ** 32, 1.5, NaN, Infinity, null] },
  int32: { held: [-(2 ** 31), -1, 2 ** 31 - 1], beyond: [2 ** 31, -(2 ** 31) - 1, 0.5, NaN, Infinity, null] },
};

/**
 * The bytes of an answer in which every message on the way to the field is there, and nothing else.
 */
export function bytesTo(message: DescMessage, path: Path): Uint8Array {
  const root = create(message);
  let at: ReflectMessage = reflect(message, root);
  for (const field of path) {
    const inner = messageOf(field);
    if (inner === undefined) break;
    const next = reflect(inner, create(inner));
    if (field.fieldKind === 'list') at.get(field).add(next);
    else at.set(field, next);
    at = next;
  }
  return toBinary(message, root);
}

/** The value at the path, as a stranger's decoder finds it. */
export function valueAt(message: DescMessage, answer: Message, path: Path): unknown {
  let at: unknown = reflect(message, answer);
  for (const field of path) {
    const here = (at as ReflectMessage).get(field) as unknown;
    at = field.fieldKind === 'list' ? (here as { get(index: number): unknown }).get(0) : here;
  }
  return at;
}

/** Puts a value into an answer of the generated code, whose messages on the way to it are there. */
export function plant(answer: object, path: Path, value: unknown): void {
  let at = answer as Record<string, unknown>;
  path.forEach((field, index) => {
    const last = index === path.length - 1;
    const { oneof } = field;
    if (oneof !== undefined) {
      const held = (at[oneof.localName] ?? {}) as Record<string, unknown>;
      if (last) at[oneof.localName] = { $case: field.localName, value };
      at = held['value'] as Record<string, unknown>;
    } else if (field.fieldKind === 'list') {
      if (last) at[field.localName] = [value];
      at = (at[field.localName] as Record<string, unknown>[])[0] ?? {};
    } else {
      if (last) at[field.localName] = value;
      at = at[field.localName] as Record<string, unknown>;
    }
  });
}

export function pathText(path: Path): string {
  return path.map(({ name }) => name).join('.');
}

function isNumber(field: DescField): boolean {
  return (
    (field.fieldKind === 'scalar' || field.fieldKind === 'list') && field.scalar !== undefined && field.scalar in KINDS
  );
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === 'message' || field.fieldKind === 'list' ? field.message : undefined;
}
