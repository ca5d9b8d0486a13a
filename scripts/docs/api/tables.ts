/** Messages and enums as tables of Markdown. */
import { ScalarType, type DescEnum, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { commentOf } from './descriptors.js';
import { cell } from './text.js';

/** Links to the page that has a message or enum. */
export type LinkTo = (type: DescMessage | DescEnum) => string;

/** A row for each field; a sentence when there is none. */
export function fieldTable(message: DescMessage, linkTo: LinkTo): string {
  if (message.fields.length === 0) return 'It has no fields.';
  const rows = message.fields.map((field) => {
    const one = field.oneof === undefined ? '' : `One of \`${field.oneof.name}\`. `;
    return `| \`${field.name}\` | ${typeOf(field, linkTo)} | ${one}${cell(commentOf(field))} |`;
  });
  return ['| field | type | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

/** A row for each value. */
export function valueTable(type: DescEnum): string {
  const rows = type.values.map((value) => `| \`${value.name}\` | ${cell(commentOf(value))} |`);
  return ['| value | meaning |', '| --- | --- |', ...rows].join('\n');
}

function typeOf(field: DescField, linkTo: LinkTo): string {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar) + (field.proto.proto3Optional ? ', optional' : '');
    case 'message':
      return linkTo(field.message);
    case 'enum':
      return linkTo(field.enum);
    case 'list':
      return `list of ${listed(field, linkTo)}`;
    case 'map':
      return `map of ${scalar(field.mapKey)} to ${mapped(field, linkTo)}`;
  }
}

function listed(field: DescField & { fieldKind: 'list' }, linkTo: LinkTo): string {
  if (field.listKind === 'scalar') return scalar(field.scalar);
  return linkTo(field.listKind === 'enum' ? field.enum : field.message);
}

function mapped(field: DescField & { fieldKind: 'map' }, linkTo: LinkTo): string {
  if (field.mapKind === 'scalar') return scalar(field.scalar);
  return linkTo(field.mapKind === 'enum' ? field.enum : field.message);
}

function scalar(type: ScalarType): string {
  return ScalarType[type].toLowerCase();
}
