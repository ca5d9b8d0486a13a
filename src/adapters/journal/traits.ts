/**
 * The traits by which operations are searched. An operation has a row for each trait, so a search
 * by several traits walks through the shortest of their lists. A trait finds all operations that
 * have it; it may find others too, which the caller must skip.
 */
import { hash } from 'node:crypto';
import { NOT_MADE, type RequestKey, type Trait } from '../../domain/operations/journal.js';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { bigintIn, unescaped } from './rows.js';
import { JournalDamaged } from './schema.js';

/** Not stored as rows: there is an index for it. No other trait begins with this character. */
export const UNFINISHED = '?';

const FINAL: readonly string[] = ['SUCCEEDED', 'FAILED', 'CANCELLED'];
const GOES_ON: readonly string[] = ['QUEUED', 'RUNNING', 'CANCELLING'];
/** Longer texts are stored as their digest. */
const LONGEST = 120;

/**
 * The text under which a trait is stored and searched. All unfinished states share UNFINISHED; long
 * texts are digests, so two traits may have the same text.
 */
export function traitText(trait: Trait): string {
  switch (trait.kind) {
    case 'state':
      return FINAL.includes(trait.value) ? `s${trait.value}` : UNFINISHED;
    case 'method':
      return short(`m${trait.value}`);
    case 'caller':
      return short(`c${trait.value}`);
    case 'requestId':
      return short(`q${trait.value}`);
    case 'reason':
      return short(`r${trait.value}`);
    case 'label':
      return short(`l${JSON.stringify([trait.key, trait.value])}`);
  }
}

/** Whether an operation can have the trait only after its end. */
export function isOfEnd(trait: string): boolean {
  return ['s', 'r', 'f', 'l', END].some((begin) => trait.startsWith(begin));
}

/** Prefix of the trait for an operation's place in the order of ends. */
const END = 'e';

/** The trait of a place; traits sort in the order of their places. */
export function endTrait(place: string): string {
  return `${END}${place}`;
}

/** The place among these traits; undefined if there is none. */
export function endOf(traits: readonly string[]): string | undefined {
  return traits.find((trait) => trait.startsWith(END))?.slice(END.length);
}

/** The text by which the operation that created a file is found. */
export function madeText({ device, inode }: FileIdentity): string {
  return `f${String(device)}:${String(inode)}`;
}

/** The key of a request id: unique for the caller, the method and the id. */
export function requestText({ caller, method, requestId }: RequestKey): string {
  return JSON.stringify([caller, method, requestId]);
}

/**
 * The range of all keys of the caller of this one: from the first, inclusive, to the second,
 * exclusive.
 */
export function callersRequests(request: string): readonly [string, string] {
  const begin = JSON.stringify([callerOf(request)]).slice(0, -1);
  // After the caller comes a comma, always.
  return [`${begin},`, `${begin}-`];
}

/** The caller in a key that `requestText` made. Fails with JournalDamaged. */
export function callerOf(request: string): string {
  try {
    const fields: unknown = JSON.parse(request);
    if (Array.isArray(fields) && typeof fields[0] === 'string') return fields[0];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new JournalDamaged('a request id names no caller');
}

/** The columns of an operation, from a record of any version. */
export interface Columns {
  readonly ended: number | null;
  readonly request: string | null;
  readonly traits: readonly string[];
  /** Whether this version knows the state, and so whether the state is final. */
  readonly isKnown: boolean;
}

/**
 * The columns of an operation's row, taken from the JSON of its record. Fields of a type that this
 * version does not expect are left out. Fails with SyntaxError if `body` is not JSON.
 */
export function columnsOf(body: string): Columns {
  const record = fieldsOf(JSON.parse(body));
  const [state, method, caller, requestId] = ['state', 'method', 'caller', 'requestId'].map((name) => {
    const value = record[name];
    return typeof value === 'string' ? unescaped(value) : undefined;
  });
  const traits: string[] = [];
  if (method !== undefined) traits.push(traitText({ kind: 'method', value: method }));
  if (caller !== undefined) traits.push(traitText({ kind: 'caller', value: caller }));
  traits.push(...labelTraits(record['labels']));
  if (requestId !== undefined) traits.push(traitText({ kind: 'requestId', value: requestId }));
  const final = state !== undefined && FINAL.includes(state);
  if (final) traits.push(traitText({ kind: 'state', value: state }));
  // Until the operation ends, further waiters may join it.
  if (final && Array.isArray(record['waiters'])) traits.push(...record['waiters'].flatMap(labelTraits));
  const place = record['endPlace'];
  if (final && typeof place === 'string') traits.push(endTrait(place));
  const reason = fieldsOf(record['error'])['reason'];
  if (final && typeof reason === 'string') traits.push(traitText({ kind: 'reason', value: unescaped(reason) }));
  if (state === 'SUCCEEDED') traits.push(...madeBy(record));
  const asked = caller !== undefined && method !== undefined && requestId !== undefined;
  return {
    ended: final ? timeOf(record) : null,
    request: asked ? requestText({ caller, method, requestId }) : null,
    traits: [...new Set(traits)],
    isKnown: final || (state !== undefined && GOES_ON.includes(state)),
  };
}

function madeBy(record: Readonly<Record<string, unknown>>): readonly string[] {
  const { made, result } = fieldsOf(record['commit']);
  const [device, inode] = ['device', 'inode'].map((name) => bigintIn(fieldsOf(made)[name]));
  const { kind } = fieldsOf(result);
  if (device === undefined || inode === undefined || (typeof kind === 'string' && NOT_MADE.includes(kind))) return [];
  return [madeText({ device: BigInt(device), inode: BigInt(inode) })];
}

function labelTraits(labels: unknown): string[] {
  return Object.entries(fieldsOf(labels)).flatMap(([key, value]) =>
    typeof value === 'string' ? [traitText({ kind: 'label', key, value: unescaped(value) })] : [],
  );
}

/** Whether the operation may be final; false is certain. Cheaper than parsing the record. */
export function mayBeFinal(body: string): boolean {
  return FINAL.some((state) => body.includes(`"state":"${state}"`));
}

function timeOf(record: Readonly<Record<string, unknown>>): number {
  for (const name of ['endTime', 'eventTime', 'createTime']) {
    const time = record[name];
    if (typeof time === 'number') return Math.trunc(time);
  }
  return 0;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

function short(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, 1)}#${hash('sha256', text)}`;
}
