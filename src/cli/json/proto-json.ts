/**
 * Messages of the contract as proto3 JSON, by the descriptors that the daemon serves too. Loaded
 * only for --json: it is larger than the rest of the command.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createFileRegistry,
  createRegistry,
  fromBinary,
  toJson,
  type FileRegistry,
  type JsonValue,
} from '@bufbuild/protobuf';
import { AnySchema, FileDescriptorSetSchema, type Any } from '@bufbuild/protobuf/wkt';
import { packageFolder } from '../../protocol/version.js';
import { opaqueTypes } from './opaque-any.js';
import type { Codec, ToJson } from './codec.js';

/** Reads the descriptors. Fails with the system's error if they are missing. */
export function loadProtoJson(): ToJson {
  const file = join(packageFolder(), 'dist/hostler.binpb');
  const known = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
  return <T>(codec: Codec<T>, message: T) => jsonOf(known, codec.$type, codec.encode(message).finish());
}

/**
 * A message as canonical proto3 JSON, with every field that has no presence. A detail with an
 * unknown type, or whose bytes do not match its type, becomes `{"@type": …, "value": BASE64}`.
 */
function jsonOf(known: FileRegistry, type: string, bytes: Uint8Array): JsonValue {
  const schema = known.getMessage(type);
  if (schema === undefined) throw new Error(`the descriptors have no ${type}`);
  const message = fromBinary(schema, bytes);
  const opaque = opaqueTypes(known, anysIn(message));
  const registry = opaque === undefined ? known : createRegistry(known, opaque);
  return toJson(schema, message, { registry, alwaysEmitImplicit: true });
}

/** Every Any in a message, at any depth. */
function anysIn(value: unknown): Any[] {
  if (Array.isArray(value)) return value.flatMap(anysIn);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  if (isAny(value)) return [value];
  return Object.values(value).flatMap(anysIn);
}

function isAny(value: object): value is Any {
  return '$typeName' in value && value.$typeName === AnySchema.typeName;
}
