/**
 * Details that cannot be decoded: their type is of a newer daemon, or their bytes do not match
 * their type. Canonical JSON has no form for them, and libraries fail. They are shown as received.
 */
import { create, createFileRegistry, fromBinary, toBinary, type FileRegistry, type Registry } from '@bufbuild/protobuf';
import {
  DescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  BytesValueSchema,
  type Any,
} from '@bufbuild/protobuf/wkt';

/** Valid type names; any other would make an invalid descriptor. */
const TYPE_NAME = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/;

/**
 * Types with one field, `bytes value`, that replace types that cannot be decoded. The bytes of
 * these details are packed into that field. Undefined if all can be decoded.
 */
export function opaqueTypes(known: FileRegistry, details: readonly Any[]): Registry | undefined {
  const names = new Set(details.filter((detail) => !decodes(known, detail)).map(nameOf));
  if (names.size === 0) return undefined;
  for (const detail of details) {
    if (!names.has(nameOf(detail))) continue;
    if (!TYPE_NAME.test(nameOf(detail))) detail.typeUrl = `type.googleapis.com/${NO_NAME}`;
    // The same on the wire: field 1, bytes.
    detail.value = toBinary(BytesValueSchema, create(BytesValueSchema, { value: detail.value }));
  }
  const types = [...new Set([...names].map((name) => (TYPE_NAME.test(name) ? name : NO_NAME)))];
  return createFileRegistry(create(FileDescriptorSetSchema, { file: types.map(fileWith) }));
}

/** Replaces a name that no message can have. */
const NO_NAME = 'hostler.unknown.Detail';

function nameOf({ typeUrl }: Any): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

function decodes(known: FileRegistry, detail: Any): boolean {
  const schema = known.getMessage(nameOf(detail));
  if (schema === undefined) return false;
  try {
    fromBinary(schema, detail.value);
    return true;
  } catch {
    return false; // shown as bytes
  }
}

function fileWith(type: string, index: number) {
  const dot = type.lastIndexOf('.');
  const value = { name: 'value', jsonName: 'value', number: 1, label: Label.OPTIONAL, type: Type.BYTES };
  return create(FileDescriptorProtoSchema, {
    name: `opaque-${String(index)}.proto`,
    package: type.slice(0, Math.max(dot, 0)),
    syntax: 'proto3',
    messageType: [create(DescriptorProtoSchema, { name: type.slice(dot + 1), field: [value] })],
  });
}
