/**
 * Prints docs/limits.md: the maximal length of each field of each request, from the descriptors and
 * the table of bounds.
 */
import { readFileSync } from 'node:fs';
import { MAX_DEPTH, MAX_FIELDS } from '../../src/server/bounds/walk.js';
import { messageBytes, requestShapes, type FieldShape, type Shape } from '../../src/server/bounds/shapes.js';

const DESCRIPTORS = process.argv[2] ?? 'dist/hostler.binpb';
const number = (value: number) => value.toLocaleString('en-US');

function bound(field: FieldShape): string {
  switch (field.kind) {
    case 'text':
      return `${number(field.bound.bytes)} bytes`;
    case 'map': {
      const { entries, totalBytes, keyBytes, valueBytes } = field.bound;
      const parts = `keys of ${number(keyBytes)}, values of ${number(valueBytes)}`;
      return `${number(entries)} entries, ${number(totalBytes)} bytes in all; ${parts}`;
    }
    case 'list': {
      const { items, totalBytes, bytes } = field.bound;
      const each = bytes === undefined ? '' : `; each ${number(bytes)}`;
      return `${number(items)} items, ${number(totalBytes)} bytes in all${each}`;
    }
    case 'message':
      return '';
  }
}

/** Every field with a bound, by the names that lead to it. */
function rows({ fields }: Shape, above: string): string[] {
  return [...fields.values()].flatMap((field) => {
    const inner = field.kind === 'message' || field.kind === 'list' ? field.message : undefined;
    const own = field.kind === 'message' ? [] : [`| | \`${above}${field.name}\` | ${bound(field)} |`];
    return [...own, ...(inner === undefined ? [] : rows(inner, `${above}${field.name}.`))];
  });
}

const shapes = [...requestShapes(readFileSync(DESCRIPTORS))].sort(([a], [b]) => (a < b ? -1 : 1));
const table = shapes.flatMap(([rpc, shape]) => [
  `| \`${rpc}\` | (the message) | ${number(messageBytes(shape))} bytes |`,
  ...rows(shape, ''),
]);

process.stdout.write(`# Limits of requests

The maximal length of each field of each request, for text in bytes of UTF-8. The daemon checks the
bytes of a request before it decodes any of it. A request that exceeds one of these bounds is
refused with \`INVALID_FIELD\`, which names the first such field and its bound. The meaning of a
field can limit it further: see the comments in \`proto/\`. In a stream of requests the bounds apply
to each message. A message has at most ${number(MAX_FIELDS)} fields, including those of the
messages in it, and messages are nested at most ${String(MAX_DEPTH)} deep. This file is generated from
\`src/server/bounds/field-bounds.ts\`.

| RPC | field | at most |
| --- | --- | --- |
${table.join('\n')}
`);
