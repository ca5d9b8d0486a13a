/** What cases expect. */
import assert from 'node:assert/strict';
import { refusalFrom } from './agent/agent.js';
import { CODES, type Reason } from './agent/codes.js';
import type { Refusal } from './agent/refusal.js';

/** The call fails with that reason, with its code and the domain of the contract. */
export async function refused(call: Promise<unknown>, reason: Reason): Promise<Refusal> {
  return isRefusal(await refusalFrom(call), reason);
}

/** The same of a failure that has been read already. */
export function isRefusal(refusal: Refusal, reason: Reason): Refusal {
  assert.equal(refusal.reason, reason, `expected ${reason}, got ${refusal.summary}`);
  assert.equal(refusal.code, CODES[reason], `${reason} has gRPC code ${String(refusal.code)}`);
  assert.equal(refusal.domain, 'hostler', `the domain of ${reason} is ${refusal.domain}`);
  return refusal;
}

/** The call fails with INVALID_FIELD and names the field. */
export async function invalid(call: Promise<unknown>, field: string): Promise<Refusal> {
  const refusal = await refused(call, 'INVALID_FIELD');
  assert.ok(refusal.fields.includes(field), `expected field ${field}, got ${refusal.fields.join(', ') || 'none'}`);
  return refusal;
}

/** Equal bytes; the message says only where they differ. */
export function sameBytes(actual: Buffer, expected: Buffer, what = 'the content'): void {
  assert.equal(
    actual.length,
    expected.length,
    `${what} has ${String(actual.length)} bytes, not ${String(expected.length)}`,
  );
  if (actual.equals(expected)) return;
  const at = actual.findIndex((byte, place) => byte !== expected[place]);
  assert.fail(`${what} differs at byte ${String(at)}`);
}
