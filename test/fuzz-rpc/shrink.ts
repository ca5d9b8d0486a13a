/** Makes a call that shows a mistake as small as it can be. */
import type { Case } from './cases.js';
import { decode, encode, type Wire } from './wire.js';

/** Tries, each of which is a call. */
const MOST_TRIES = 60;

/** The smallest call for which `shows` holds that dropping parts of this one leads to. */
export async function shrink(each: Case, shows: (candidate: Case) => Promise<boolean>): Promise<Case> {
  let best = each;
  let tries = 0;
  for (let again = true; again;) {
    again = false;
    for (const candidate of smaller(best)) {
      if (tries++ >= MOST_TRIES) return best;
      if (!(await shows(candidate))) continue;
      best = candidate;
      again = true;
      break;
    }
  }
  return best;
}

function* smaller(each: Case): Generator<Case> {
  const { messages, manner } = each;
  if (Object.keys(manner).length > 1) yield { ...each, manner: { timeout: '2S' } };
  for (const [at, message] of messages.entries()) {
    const others = (replacement: readonly Buffer[]) => [
      ...messages.slice(0, at),
      ...replacement,
      ...messages.slice(at + 1),
    ];
    if (messages.length > 1) yield { ...each, messages: others([]) };
    for (const part of smallerMessage(message)) yield { ...each, messages: others([part]) };
  }
}

function* smallerMessage(message: Buffer): Generator<Buffer> {
  const fields = decode(message);
  if (fields === undefined) {
    if (message.length > 1) yield message.subarray(0, Math.ceil(message.length / 2));
    return;
  }
  // Long lists by halves first.
  if (fields.length > 8)
    for (const half of [0, 1]) yield encode(fields.filter((_, n) => (n < fields.length / 2 ? 0 : 1) !== half));
  if (fields.length < 40)
    for (let n = 0; n < fields.length; n++) yield encode(fields.filter((_, other) => other !== n));
  for (const [n, field] of fields.entries()) {
    const shorter = n < 40 ? shorterValue(field) : undefined;
    if (shorter !== undefined) yield encode(fields.map((other, at) => (at === n ? shorter : other)));
  }
}

function shorterValue(field: Wire): Wire | undefined {
  if (field.type !== 2 || !Buffer.isBuffer(field.value) || field.value.length < 16) return undefined;
  return { ...field, value: field.value.subarray(0, field.value.length / 2) };
}
