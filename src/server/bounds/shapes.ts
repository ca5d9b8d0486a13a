/**
 * Requests in the form that the walk over their bytes needs: number, kind and limit of each field.
 */
import { fromBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
  type DescriptorProto,
  type FieldDescriptorProto,
} from '@bufbuild/protobuf/wkt';
import { boundOf, type ListBound, type MapBound, type TextBound } from './field-bounds.js';

interface Named {
  /** The name that callers know. */
  readonly name: string;
}
interface TextField extends Named {
  readonly kind: 'text';
  readonly bound: TextBound;
}
interface ListField extends Named {
  readonly kind: 'list';
  readonly bound: ListBound;
  /**
   * Size of an item of a number list, if all items have the same size, otherwise 0; used to count
   * the items of a packed list.
   */
  readonly fixedBytes: 0 | 4 | 8;
  readonly packable: boolean;
  readonly message?: Shape;
}
interface MapField extends Named {
  readonly kind: 'map';
  readonly bound: MapBound;
}
interface MessageField extends Named {
  readonly kind: 'message';
  readonly message: Shape;
}
export type FieldShape = TextField | ListField | MapField | MessageField;

/**
 * Fields of a message that can be long, by their numbers; a missing number has a fixed length, or
 * is unknown.
 */
export interface Shape {
  readonly name: string;
  readonly fields: ReadonlyMap<number, FieldShape>;
  /** The maximum size of a message that keeps all limits. */
  readonly bytes: number;
}

/** The limit of a request, unless its fields need more. */
const MESSAGE_BYTES = 64 * 1024;
/** For the tag and length of a field. */
const HEAD_BYTES = 16;

const { STRING, BYTES, MESSAGE, FIXED32, FLOAT, SFIXED32, FIXED64, DOUBLE, SFIXED64 } = FieldDescriptorProto_Type;
const FIXED = new Map<number, 4 | 8>([
  ...[FIXED32, FLOAT, SFIXED32].map((type) => [type, 4] as const),
  ...[FIXED64, DOUBLE, SFIXED64].map((type) => [type, 8] as const),
]);

/**
 * Shapes of the requests of all RPCs, by `package.Service/Method`. Throws on a field without a
 * limit.
 */
export function requestShapes(descriptorSet: Uint8Array): ReadonlyMap<string, Shape> {
  const { file } = fromBinary(FileDescriptorSetSchema, descriptorSet);
  const messages = new Map<string, DescriptorProto>();
  const add = (prefix: string, message: DescriptorProto): void => {
    const name = `${prefix}.${message.name}`;
    messages.set(name, message);
    for (const nested of message.nestedType) add(name, nested);
  };
  for (const each of file) for (const message of each.messageType) add(each.package, message);
  const shapes = new Map<string, Shape>();
  const shapeOf = (name: string): Shape => {
    const known = shapes.get(name);
    if (known !== undefined) return known;
    const message = messages.get(name);
    if (message === undefined) throw new Error(`there is no message ${name}`);
    const shape = shapeOfMessage(name, message, messages, shapeOf);
    shapes.set(name, shape);
    return shape;
  };
  return new Map(
    file.flatMap((each) =>
      each.service.flatMap((service) =>
        service.method.map((method): [string, Shape] => [
          `${each.package}.${service.name}/${method.name}`,
          shapeOf(method.inputType.slice(1)),
        ]),
      ),
    ),
  );
}

type Messages = ReadonlyMap<string, DescriptorProto>;

function shapeOfMessage(
  name: string,
  { field }: DescriptorProto,
  messages: Messages,
  shapeOf: (name: string) => Shape,
): Shape {
  const fields = new Map(
    field.flatMap((each): [number, FieldShape][] => {
      const shape = shapeOfField(name, each, messages, shapeOf);
      return shape === undefined ? [] : [[each.number, shape]];
    }),
  );
  const needed = [...fields.values()].reduce(
    (sum, each) => sum + HEAD_BYTES + bytesOf(each),
    field.length * HEAD_BYTES,
  );
  return { name, fields, bytes: needed };
}

/** The maximum length of a request. */
export function messageBytes({ bytes }: Shape): number {
  return Math.max(MESSAGE_BYTES, bytes);
}

function bytesOf(field: FieldShape): number {
  if (field.kind === 'message') return field.message.bytes;
  return field.kind === 'text' ? field.bound.bytes : field.bound.totalBytes;
}

function shapeOfField(
  message: string,
  field: FieldDescriptorProto,
  messages: Messages,
  shapeOf: (name: string) => Shape,
): FieldShape | undefined {
  const { name, type, label, typeName } = field;
  const isText = type === STRING || type === BYTES;
  const isList = label === FieldDescriptorProto_Label.REPEATED;
  const inner = type === MESSAGE ? typeName.slice(1) : undefined;
  if (inner !== undefined && !isList) return { name, kind: 'message', message: shapeOf(inner) };
  if (!isText && !isList) return undefined;
  const bound = boundOf(`${message}.${name}`);
  if (inner !== undefined && messages.get(inner)?.options?.mapEntry === true) {
    if (bound !== undefined && 'entries' in bound) return { name, kind: 'map', bound };
  } else if (isList) {
    if (bound !== undefined && 'items' in bound && (!isText || bound.bytes !== undefined))
      return {
        name,
        kind: 'list',
        bound,
        fixedBytes: FIXED.get(type) ?? 0,
        packable: !isText && inner === undefined,
        ...(inner === undefined ? {} : { message: shapeOf(inner) }),
      };
  } else if (bound !== undefined && !('items' in bound) && !('entries' in bound)) return { name, kind: 'text', bound };
  throw new Error(`${message}.${name} has no bound, or one of another kind: see field-bounds.ts`);
}
