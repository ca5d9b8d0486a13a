/** What is right for a caller to get, whatever it has sent. */
import { status } from '@grpc/grpc-js';
import { promises } from '../support/reasons/promised.js';
import { ODD_TIMEOUTS, type Case } from './cases.js';
import type { Outcome } from './line.js';
import { REASONS } from '../../src/domain/model/reasons/reasons.js';

/**
 * Details are 4 KiB at most; the message stands in them once more, and both are in base64 or
 * percent-encoded.
 */
const MOST_STATUS_BYTES = 16 << 10;
const MOST_MESSAGE_BYTES = 4 << 20;
/** grpc-js sends these by itself, without a reason. */
const BARE: readonly number[] = [status.OK, status.DEADLINE_EXCEEDED, status.CANCELLED];
/** The call cannot be read as one: its frames, compression or size. */
const UNREADABLE: readonly number[] = [status.INTERNAL, status.UNIMPLEMENTED, status.RESOURCE_EXHAUSTED];
/** Too many headers. */
const HTTP_STATUSES = [431];
/** These say that something is wrong with the daemon or the host, which nothing here is. */
const OURS = [
  'BUG',
  'TOOL_FAILED',
  'IO_ERROR',
  'UNKNOWN_REASON',
  'STATE_UNAVAILABLE',
  'AUDIT_FAILED',
  'TOOL_MISSING',
  'HOST_EXHAUSTED',
];

/** From any RPC: answers that are too long, and images that are put back under its hands. */
const ALWAYS = ['ANSWER_TOO_LARGE', 'SOURCE_CHANGED'];
/** From health and reflection, whose contracts are not ours. */
const FOREIGN = ['INVALID_FIELD', 'METHOD_NOT_ALLOWED', 'CALLER_AT_LIMIT'];

const promised = new Map(
  promises().map(({ rpc, reasons, common }) => [rpc, new Set([...(reasons ?? []), ...common, ...ALWAYS])]),
);

/** What is wrong with it; nothing when all is right. */
export function wrongWith(each: Case, outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'left':
    case 'lost':
      return undefined;
    case 'silent':
      return 'no answer came';
    case 'reset':
      return each.manner.headers === undefined && each.manner.prefix === undefined
        ? 'the stream was reset without a status'
        : undefined;
    case 'http':
      return HTTP_STATUSES.includes(outcome.status) ? undefined : `HTTP ${String(outcome.status)}`;
    case 'status':
      if (outcome.undecodable > 0) return 'a message cannot be decoded';
      if (outcome.statusBytes > MOST_STATUS_BYTES) return `a status of ${String(outcome.statusBytes)} bytes`;
      return wrongStatus(each, outcome.error);
  }
}

function wrongStatus(each: Case, { code, reason, message }: { code: number; reason: string; message: string }) {
  const text = `${status[code] ?? String(code)} ${reason}: ${message.slice(0, 300)}`;
  if (reason === '') {
    const { prefix, headers, timeout } = each.manner;
    const readable =
      prefix === undefined &&
      headers === undefined &&
      each.messages.length === 1 &&
      each.messages.every(({ length }) => length <= MOST_MESSAGE_BYTES) &&
      !ODD_TIMEOUTS.includes(timeout);
    // Health says it of a service that nobody knows.
    const mayBe = isForeign(each) ? [...BARE, status.NOT_FOUND] : BARE;
    return mayBe.includes(code) || (!readable && UNREADABLE.includes(code)) ? undefined : text;
  }
  if (OURS.includes(reason)) return text;
  if (!Object.hasOwn(REASONS, reason)) return `${text} (no such reason)`;
  if (status[code] !== REASONS[reason as keyof typeof REASONS].code) return `${text} (not the code of this reason)`;
  const isPromised = isForeign(each)
    ? FOREIGN.includes(reason)
    : promised.get(each.rpc.split('/')[1] ?? '')?.has(reason) === true;
  return isPromised ? undefined : `${text} (not promised)`;
}

const isForeign = ({ rpc }: Case) => rpc.includes('.');

/** Wrong things of one kind: numbers, paths and what was quoted differ from one to the next. */
export function kindOf({ rpc }: Case, wrong: string): string {
  // Whatever the RPC, they come from below it.
  const where = / : /.test(wrong) ? 'any RPC' : rpc;
  return `${where} ${wrong
    .replaceAll(/\/[^\s:,]*/g, '/…')
    .replaceAll(/"[^"]*"|'[^']*'/g, '"…"')
    .replaceAll(/\d+/g, 'N')
    .slice(0, 120)}`;
}
