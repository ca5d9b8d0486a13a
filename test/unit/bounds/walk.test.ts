/**
 * Every field of every request that may be long has a bound, which is checked on the bytes before
 * anything is decoded.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { toBinary, create } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { boundOf } from '../../../src/server/bounds/field-bounds.js';
import { messageBytes, requestShapes, type FieldShape, type Shape } from '../../../src/server/bounds/shapes.js';
import { firstViolation } from '../../../src/server/bounds/walk.js';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { longFields, requests } from '../../support/descriptors.js';

const shapes = requestShapes(readFileSync(join(ROOT_FOLDER, 'dist/hostler.binpb')));
const shapeOf = (rpc: string): Shape => {
  const shape = shapes.get(rpc);
  if (shape === undefined) throw new Error(rpc);
  return shape;
};

/** A field, given as often as there are values. */
function repeated(number: number, values: readonly Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const value of values) writer.tag(number, WireType.LengthDelimited).bytes(value);
  return writer.finish();
}
const many = (count: number, length = 0) => Array.from({ length: count }, () => new Uint8Array(length));

interface Sample {
  /** Bytes of the field's message. */
  readonly bytes: Uint8Array;
  readonly says: RegExp;
}

/** Just over each bound of a field, and just within it. */
function samples(number: number, field: FieldShape): { readonly over: Sample[]; readonly within: Uint8Array[] } {
  if (field.kind === 'text') {
    const { bytes } = field.bound;
    const over = {
      bytes: repeated(number, many(1, bytes + 1)),
      says: new RegExp(`longer than ${String(bytes)} bytes`),
    };
    return { over: [over], within: [repeated(number, many(1, bytes))] };
  }
  if (field.kind === 'map') {
    const { entries, totalBytes, keyBytes, valueBytes } = field.bound;
    const [key, value] = [repeated(1, many(1, keyBytes + 1)), repeated(2, many(1, valueBytes + 1))];
    return {
      over: [
        { bytes: repeated(number, many(entries + 1)), says: new RegExp(`more than ${String(entries)}`) },
        { bytes: repeated(number, [key]), says: /a key/ },
        { bytes: repeated(number, [value]), says: /a value/ },
        { bytes: repeated(number, [repeated(1, [Buffer.from('__proto__')])]), says: /a key.*must not be/ },
        { bytes: repeated(number, many(1, totalBytes + 1)), says: /in all/ },
      ],
      within: [repeated(number, many(entries)), repeated(number, [repeated(1, many(1, keyBytes))])],
    };
  }
  if (field.kind === 'list') {
    const { items, bytes } = field.bound;
    const says = new RegExp(`more than ${String(items)}`);
    const ones = new Uint8Array(items + 1).fill(1);
    const varints = new BinaryWriter();
    for (let n = 0; n <= items; n++) varints.tag(number, WireType.Varint).int32(1);
    return {
      over: [
        ...(field.packable
          ? [
              { bytes: repeated(number, [ones]), says },
              { bytes: varints.finish(), says },
            ]
          : [{ bytes: repeated(number, many(items + 1)), says }]),
        ...(bytes === undefined ? [] : [{ bytes: repeated(number, many(1, bytes + 1)), says: /longer than/ }]),
      ],
      within: [repeated(number, field.packable ? [ones.subarray(1)] : many(items))],
    };
  }
  return { over: [], within: [] };
}

/** Each field with a bound in a request, and how it gets into the request. */
function* everyField(
  { fields }: Shape,
  above = '',
  wrap: (inner: Uint8Array) => Uint8Array = (inner) => inner,
): Generator<{ path: string; number: number; field: FieldShape; wrap: (inner: Uint8Array) => Uint8Array }> {
  for (const [number, field] of fields) {
    const path = `${above}${field.name}`;
    if (field.kind === 'message')
      yield* everyField(field.message, `${path}.`, (inner) => wrap(repeated(number, [inner])));
    else yield { path, number, field, wrap };
  }
}

describe('bounds of requests', () => {
  it('are known for each string, bytes, repeated and map field of every request, also of health and reflection', () => {
    const all = requests();
    assert.ok(['hostler.v1.ImageService/CopyImage', 'grpc.health.v1.Health/Check'].every((rpc) => all.has(rpc)));
    for (const [rpc, message] of all)
      for (const { name, kind } of longFields(message)) {
        const bound = boundOf(name);
        assert.ok(bound !== undefined, `${rpc}: ${name}`);
        assert.equal('items' in bound ? 'list' : 'entries' in bound ? 'map' : 'text', kind, name);
      }
    assert.deepEqual([...shapes.keys()].sort(), [...all.keys()].sort());
  });

  it('a field without one keeps the daemon from starting', () => {
    const field = { number: 1, type: FieldDescriptorProto_Type.STRING, label: FieldDescriptorProto_Label.OPTIONAL };
    const set = (name: string, more: object = {}) =>
      toBinary(
        FileDescriptorSetSchema,
        create(FileDescriptorSetSchema, {
          file: [
            {
              package: 'p',
              messageType: [{ name: 'M', field: [{ ...field, name, ...more }] }],
              service: [{ name: 'S', method: [{ name: 'R', inputType: '.p.M', outputType: '.p.M' }] }],
            },
          ],
        }),
      );
    assert.deepEqual([...requestShapes(set('path')).keys()], ['p.S/R']);
    assert.throws(() => requestShapes(set('new_field')), /p\.M\.new_field has no bound/);
    // A string's bound is none for a list of them, and the names of what every object has are none
    // of the table.
    assert.throws(() => requestShapes(set('path', { label: FieldDescriptorProto_Label.REPEATED })), /another kind/);
    assert.throws(() => requestShapes(set('constructor')), /no bound/);
  });

  for (const rpc of shapes.keys())
    it(`${rpc}: what is just over is refused by name, what is just within is not`, () => {
      const shape = shapeOf(rpc);
      for (const { path, number, field, wrap } of everyField(shape)) {
        const { over, within } = samples(number, field);
        for (const bytes of within) assert.equal(firstViolation(shape, wrap(bytes)), undefined, path);
        for (const { bytes, says } of over) {
          const found = firstViolation(shape, wrap(bytes));
          assert.equal(found?.field.replace(/ \(.*$/, ''), path);
          assert.match(`${found.field} ${found.description}`, says);
        }
        assert.ok(
          within.every((bytes) => wrap(bytes).length <= messageBytes(shape)),
          `${path}: no message is so long`,
        );
      }
    });

  it('messages are short unless they carry data or lists', () => {
    const long = [...shapes].filter(([, shape]) => messageBytes(shape) > 65_536).map(([rpc]) => rpc.split('/')[1]);
    assert.deepEqual(long.sort(), [
      'BatchGetImageInfo',
      'ChownForIdMaps',
      'EvictCachedImages',
      'Execute',
      'FetchImage',
      'FetchRawImage',
      'FindRootDisk',
      'PrefetchImage',
      'UploadImage',
      'WriteFile',
    ]);
  });

  it('a message that is none is refused as such', () => {
    const shape = shapeOf('hostler.v1.FileService/ChownForIdMaps');
    const nested = (depth: number): Uint8Array => new Uint8Array(depth).fill((9 << 3) | WireType.StartGroup);
    for (const bytes of [
      new Uint8Array([0xff]), // half a tag
      new Uint8Array([10, 100, 1]), // shorter than it says
      new Uint8Array([10, 0xff, 0xff, 0xff, 0xff, 0x0f]), // longer than anything
      new Uint8Array([(1 << 3) | WireType.EndGroup]),
      new Uint8Array([0, 0]), // field 0
      nested(1),
      nested(60_000),
    ])
      assert.match(firstViolation(shape, bytes)?.description ?? '', /no message of the type/);
  });

  it('unknown fields are passed over, whatever they hold', () => {
    const shape = shapeOf('hostler.v1.FileService/StatFile');
    const unknown = new BinaryWriter().tag(999, WireType.Varint).uint64('18446744073709551615');
    unknown.tag(998, WireType.LengthDelimited).bytes(new Uint8Array(60_000)).tag(997, WireType.Bit64).fixed64(1);
    assert.equal(firstViolation(shape, unknown.finish()), undefined);
  });

  it('docs/limits.md is what the table says', () => {
    const files = ['dist/scripts/docs/limits-docs.js', 'dist/hostler.binpb'].map((file) => join(ROOT_FOLDER, file));
    const printed = execFileSync(process.execPath, files, { encoding: 'utf8' });
    assert.equal(printed, readFileSync(join(ROOT_FOLDER, 'docs/limits.md'), 'utf8'), 'make gen');
  });

  it('fields in all have a bound: unknown ones, one given again and again, those in messages', () => {
    const few = 16_384;
    const numbers = (number: number, count: number) => {
      const writer = new BinaryWriter();
      for (let n = 0; n < count; n++) writer.tag(number, WireType.Varint).uint32(1);
      return writer.finish();
    };
    const upload = 'hostler.v1.ImageService/UploadImage';
    const stat = 'hostler.v1.FileService/StatFile';
    const cases: [string, (count: number) => Uint8Array][] = [
      [stat, (count) => numbers(99, count)],
      [stat, (count) => repeated(1, many(count))],
      [upload, (count) => numbers(3, count)],
      [upload, (count) => repeated(1, [numbers(2, count - 1)])],
    ];
    for (const [rpc, bytes] of cases) {
      assert.match(
        firstViolation(shapeOf(rpc), bytes(few + 1))?.description ?? '',
        /more than 16384 fields in all/,
        rpc,
      );
      assert.doesNotMatch(firstViolation(shapeOf(rpc), bytes(few))?.description ?? '', /fields in all/, rpc);
    }
  });
});
