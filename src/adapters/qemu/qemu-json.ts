/**
 * Nodes of qemu's block layer as JSON, which qemu accepts instead of a file name. Only this form
 * can state where a chain ends.
 */
import type { ArgumentPart, Reference, Text } from '../process/tool-call.js';

export type Pieces = readonly ArgumentPart[];
/** An option's name, and its value as JSON. */
export type JsonMember = readonly [name: string, value: Pieces];

/** A JSON string, quoted and escaped. */
export function text(value: string): Pieces {
  return [JSON.stringify(value)];
}

/** The path that the runner gives to a reference. It has no character that JSON would escape. */
export function pathTo(reference: Reference | Text): Pieces {
  return ['"', reference, '"'];
}

/** A JSON object; members keep their order. */
export function object(members: readonly JsonMember[]): Pieces {
  return [
    '{',
    ...members.flatMap(([name, value], index) => [`${index === 0 ? '' : ','}${JSON.stringify(name)}:`, ...value]),
    '}',
  ];
}

/**
 * Nested layers, each described by its members, with an explicit end: qemu follows no name from a
 * header. The lowest layer comes first, so that a layer has the same path for a tool whatever lies
 * above it.
 */
export function chainOf([top, ...below]: readonly (readonly JsonMember[])[]): Pieces {
  return top === undefined ? ['null'] : object([['backing', chainOf(below)], ...top]);
}
