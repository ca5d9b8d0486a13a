/** The messages of proto/, read from the descriptors that the daemon serves. */
import {
  createFileRegistry,
  fromBinary,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from './daemon.js';
import type { Message } from './stranger.js';

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(join(ROOT_FOLDER, 'dist/hostler.binpb'))),
);

/** All services of Hostler: the daemon serves health and reflection beside them. */
export function services(): DescService[] {
  return [...registry]
    .filter((each) => each.kind === 'service')
    .filter(({ file }) => file.proto.package === 'hostler.v1');
}

/** Every message of a package, those inside of others too; entries of maps are none. */
export function messagesOf(name: string): DescMessage[] {
  return [...registry].filter((each) => each.kind === 'message').filter(({ file }) => file.proto.package === name);
}

/**
 * The path of an RPC as it is called: `ImageService/CopyImage` is Hostler's, others have their
 * package before them.
 */
export function pathOf(rpc: string): string {
  return rpc.includes('.') ? `/${rpc}` : `/hostler.v1.${rpc}`;
}

/** `ImageService/CopyImage` -> its request. */
export function requestOf(rpc: string): DescMessage {
  return methodOf(rpc).input;
}

/** `ImageService/CopyImage` -> what it answers. */
export function answerOf(rpc: string): DescMessage {
  return methodOf(rpc).output;
}

function methodOf(rpc: string): DescMethod {
  const [service = '', name = ''] = pathOf(rpc).slice(1).split('/');
  const method = registry.getService(service)?.methods.find((each) => each.name === name);
  if (method === undefined) throw new Error(`no RPC ${rpc}`);
  return method;
}

/**
 * The RPCs of health and reflection, `package.Service/Method`, and whether requests or answers
 * stream.
 */
export function foreignRpcs(): { rpc: string; requestStream: boolean; responseStream: boolean }[] {
  return [...registry]
    .filter((each) => each.kind === 'service')
    .filter(({ file }) => file.proto.package !== 'hostler.v1')
    .flatMap(({ typeName, methods }) =>
      methods.map(({ name, methodKind }) => ({
        rpc: `${typeName}/${name}`,
        requestStream: ['client_streaming', 'bidi_streaming'].includes(methodKind),
        responseStream: ['server_streaming', 'bidi_streaming'].includes(methodKind),
      })),
    );
}

/** Full names of every field, oneof, message and enum of hostler.v1. */
export function contractNames(): string[] {
  return [...registry].flatMap((each) => {
    if (!each.typeName.startsWith('hostler.v1.')) return [];
    const parts = each.kind === 'message' ? [...each.fields, ...each.oneofs] : [];
    return [each.typeName, ...parts.map(({ name }) => `${each.typeName}.${name}`)];
  });
}

/**
 * Every RPC that the daemon serves, health and reflection too, as `package.Service/Method`, and its
 * request.
 */
export function requests(): Map<string, DescMessage> {
  const all = [...registry].filter((each) => each.kind === 'service');
  return new Map(
    all.flatMap(({ typeName, methods }) => methods.map((each) => [`${typeName}/${each.name}`, each.input] as const)),
  );
}

/**
 * Fields of a message, and of those in it, that may be long: strings, bytes, lists and maps, by
 * their full names.
 */
export function longFields(message: DescMessage): { readonly name: string; readonly kind: 'text' | 'list' | 'map' }[] {
  return message.fields.flatMap((field) => {
    const name = `${message.typeName}.${field.name}`;
    const isText = ['9', '12'].includes(String(field.proto.type));
    if (field.fieldKind === 'map') return [{ name, kind: 'map' as const }];
    const inner = field.message === undefined ? [] : longFields(field.message);
    if (field.fieldKind === 'list') return [{ name, kind: 'list' as const }, ...inner];
    return [...(isText ? [{ name, kind: 'text' as const }] : []), ...inner];
  });
}

/**
 * Every string field of a message and of those in it, as the names that lead to it; keys and values
 * of maps are none.
 */
export function stringFields(message: DescMessage, above: readonly string[] = []): string[][] {
  return message.fields.flatMap((field) => {
    const path = [...above, field.name];
    if (isString(field)) return [path];
    return field.fieldKind === 'message' && above.length < 4 ? stringFields(field.message, path) : [];
  });
}

function isString(field: DescField): boolean {
  return String(field.proto.type) === '9' && (field.fieldKind === 'scalar' || field.fieldKind === 'list');
}

/** A request with the value at a path; lists get it as their only item. */
export function requestWith(rpc: string, given: Message, path: readonly string[], value: string): Message {
  const [name = '', ...rest] = path;
  return put(requestOf(rpc), given, name, rest, value);
}

function put(message: DescMessage, given: Message, name: string, rest: readonly string[], value: string): Message {
  const field = message.fields.find((each) => each.name === name);
  if (field === undefined) throw new Error(`${message.name} has no field ${name}`);
  const [next, ...more] = rest;
  if (next === undefined) return { ...given, [name]: field.fieldKind === 'list' ? [value] : value };
  if (field.fieldKind !== 'message') throw new Error(`${message.name}.${name} is no message`);
  return { ...given, [name]: put(field.message, (given[name] as Message | undefined) ?? {}, next, more, value) };
}

/**
 * What makes a request of these fields valid as far as a machine can guess: formats, sizes, owners.
 */
export function plausible(rpc: string): Message {
  const guesses: Message = {
    format: 'raw',
    source_format: 'raw',
    target_format: 'raw',
    backing_format: 'raw',
    first_format: 'raw',
    second_format: 'raw',
    size: '1K',
    snapshot: 'one',
    owner: String(process.getuid?.() ?? 0),
    mode: 'WIPE_MODE_ZERO',
    hostname: 'host.example',
    virt_type: 'kvm',
    name: 'none',
    peer: 'agent-b',
    length_bytes: '512',
    instance: { uuid: '00000000-0000-4000-8000-000000000000', name: 'instance' },
    operation_id: '01J00000000000000000000000',
    domain_xml: '<domain/>',
    pool: 'rbd',
  };
  const { fields } = requestOf(rpc);
  return Object.fromEntries(fields.flatMap(({ name }) => (name in guesses ? [[name, guesses[name]]] : [])));
}
