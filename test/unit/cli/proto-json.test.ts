/**
 * What --json prints of every message of the contract is what other implementations of proto3 JSON
 * print: Python's and buf's.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DescMessage } from '@bufbuild/protobuf';
import type { Codec } from '../../../src/cli/json/codec.js';
import { loadProtoJson } from '../../../src/cli/json/proto-json.js';
import { Status } from '../../../src/gen/google/rpc/status.js';
import { messagesOf } from '../../support/descriptors.js';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { emptyMessage, filledMessages } from './filled-messages.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

const PYTHON = join(ROOT_FOLDER, '.cache/python/bin/python');
const DESCRIPTORS = join(ROOT_FOLDER, 'dist/hostler.binpb');
const GENERATED = join(ROOT_FOLDER, 'dist/src/gen/hostler/v1');

/** Lines of a type and a message in hexadecimal digits become lines of JSON. */
const IN_PYTHON = `
import json, sys
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(open(sys.argv[1], 'rb').read()).file: pool.Add(file)
messages = message_factory.GetMessageClassesForFiles([f for f in sys.argv[3].split(',')], pool)
for line in open(sys.argv[2]):
    name, data = line.rstrip('\\n').split(' ')
    message = messages[name].FromString(bytes.fromhex(data))
    print(json.dumps(json_format.MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=pool)))
`;

interface GeneratedCodec extends Codec<unknown> {
  decode(bytes: Uint8Array): unknown;
}

interface Case {
  readonly type: DescMessage;
  readonly bytes: Uint8Array;
}

describe('--json', () => {
  const scratch = scratchFolder();
  const toJson = loadProtoJson();
  const contract = messagesOf('hostler.v1');
  const details = messagesOf('google.rpc').filter(({ name }) => name !== 'Status');
  const filled: Case[] = contract.flatMap((type) => filledMessages(type, details).map((bytes) => ({ type, bytes })));
  const codecs = new Map<string, GeneratedCodec>();
  before(async () => {
    for (const name of readdirSync(GENERATED).filter((each) => each.endsWith('.js')))
      for (const found of Object.values((await import(join(GENERATED, name))) as object))
        if (isCodec(found)) codecs.set(found.$type, found);
  });
  /** As the command has it: through the generated code. */
  const ours = ({ type, bytes }: Case): unknown => {
    const codec = codecs.get(type.typeName);
    assert.ok(codec, type.typeName);
    return toJson(codec, codec.decode(bytes));
  };

  it('is what Python prints, of messages with all fields and with none', async function () {
    needs(this, existsSync(PYTHON), "Python's protobuf could not be installed");
    this.timeout(60_000);
    const empty = contract.map((type) => ({ type, bytes: emptyMessage(type) }));
    const cases = [...filled, ...empty];
    assert.ok(empty.length > 100, String(empty.length));
    const lines = cases.map(({ type, bytes }) => `${type.typeName} ${Buffer.from(bytes).toString('hex')}\n`);
    await writeFile(scratch.path('cases'), lines.join(''));
    const files = [...new Set(cases.map(({ type }) => `${type.file.name}.proto`))].join(',');
    const printed = await sh(PYTHON, '-c', IN_PYTHON, DESCRIPTORS, scratch.path('cases'), files);
    const theirs = printed.trimEnd().split('\n');
    assert.equal(theirs.length, cases.length);
    for (const [index, each] of cases.entries())
      assert.deepEqual(ours(each), JSON.parse(theirs[index] ?? ''), each.type.typeName);
  });

  it('is what buf prints, of messages with all fields', async () => {
    // All in one message: starting buf for each would take minutes.
    const all = { code: 1, message: 'all', details: filled.map(anyOf) };
    await writeFile(scratch.path('all.binpb'), Status.encode(all).finish());
    const buf = join(ROOT_FOLDER, 'node_modules/.bin/buf');
    const from = `${scratch.path('all.binpb')}#format=binpb`;
    await sh(
      ...[buf, 'convert', DESCRIPTORS, '--type', Status.$type, '--from', from],
      ...['--to', `${scratch.path('all.json')}#format=json`],
    );
    const printed = JSON.parse(await readFile(scratch.path('all.json'), 'utf8')) as { details: object[] };
    assert.equal(printed.details.length, filled.length);
    for (const [index, each] of filled.entries()) {
      const { '@type': type, ...fields } = printed.details[index] as Record<string, unknown>;
      assert.equal(type, `type.googleapis.com/${each.type.typeName}`);
      assert.deepEqual(ours(each), fields, each.type.typeName);
    }
  });

  it('shows a detail that it does not know, or cannot read, as it came', () => {
    const typeUrl = 'type.googleapis.com/hostler.v9.News';
    const broken = { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from([255]) };
    const nameless = { typeUrl: 'type.googleapis.com/no name', value: Buffer.from('x') };
    const status = { code: 5, message: 'm', details: [{ typeUrl, value: Buffer.from('news') }, broken, nameless] };
    assert.deepEqual(toJson(Status, status), {
      code: 5,
      message: 'm',
      details: [
        { '@type': typeUrl, value: Buffer.from('news').toString('base64') },
        { '@type': broken.typeUrl, value: '/w==' },
        { '@type': 'type.googleapis.com/hostler.unknown.Detail', value: 'eA==' },
      ],
    });
  });

  it('keeps the number of an enum value that it has no name for', () => {
    const [type] = contract.filter(({ name }) => name === 'WipeImageRequest');
    assert.ok(type);
    const field = type.fields.find(({ name }) => name === 'mode');
    assert.ok(field);
    // The field as a varint of 77.
    assert.deepEqual((ours({ type, bytes: Uint8Array.of(field.number << 3, 77) }) as { mode: unknown }).mode, 77);
  });
});

function isCodec(value: unknown): value is GeneratedCodec {
  return typeof value === 'object' && value !== null && '$type' in value && 'decode' in value;
}

function anyOf({ type, bytes }: Case) {
  return { typeUrl: `type.googleapis.com/${type.typeName}`, value: Buffer.from(bytes) };
}
