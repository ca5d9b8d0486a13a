import { Command, InvalidArgumentError } from 'commander';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.js';
import { OperationState, type Operation } from '../../gen/hostler/v1/operation.js';
import { ListOperationsResponse, type ListOperationsRequest } from '../../gen/hostler/v1/operation_service.js';
import { msOf, timeOfMs } from '../../protocol/times.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { UsageError, failureOf } from '../failure.js';
import { stateName } from '../names.js';
import { collectLabel, collectText } from '../options.js';
import { duration, table } from '../text.js';

const PAGE = 1000;
const COLUMNS = ['OPERATION', 'METHOD', 'STATE', 'AGE', 'TOOK', 'CALLER', 'REASON', 'LABELS', 'PATHS'];
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

interface ListFlags {
  readonly state: string[];
  readonly method: string[];
  readonly label: Record<string, string>;
  readonly caller: string;
  readonly kept?: true;
  readonly reason: string[];
  readonly requestId: string;
  readonly since?: Timestamp;
  readonly until?: Timestamp;
  readonly newest?: true;
  readonly limit: number;
}

/** `hostler ops ls`. */
export function listCommand(context: Context): Command {
  return new Command('ls')
    .description('operations, oldest first')
    .option('--state <state>', 'only in this state; may be repeated', collectText, [])
    .option('--method <method>', 'only this RPC, such as ConvertImage; may be repeated', collectText, [])
    .option('--label <key=value>', 'only with this label; may be given more than once', collectLabel, {})
    .option('--caller <caller>', 'only of this caller', '')
    .option(
      '--reason <reason>',
      'only failed or cancelled with this reason, such as NO_SPACE; may be repeated',
      collectText,
      [],
    )
    .option('--request-id <id>', 'only of the request with this id', '')
    .option('--since <time>', 'only admitted then or later: a time, or an age such as 30m, 2h or 7d', timeOrAge)
    .option('--until <time>', 'only admitted before then', timeOrAge)
    .option('--kept', 'only those whose data the next request for the same work resumes')
    .option('--newest', 'newest first')
    .option('--limit <number>', 'at most so many, in the order of the list', count, Infinity)
    .action((flags: ListFlags) =>
      context.use(async ({ operations }) => {
        const list = (request: ListOperationsRequest) =>
          ask<ListOperationsResponse>((done) => operations.listOperations(request, done));
        const found = await listed(flags, list);
        context.print(ListOperationsResponse, found, table(COLUMNS, found.operations.map(rowOf)));
      }),
    );
}

/** All pages of a list as one list. */
async function listed(
  flags: ListFlags,
  list: (request: ListOperationsRequest) => Promise<ListOperationsResponse>,
): Promise<ListOperationsResponse> {
  const { method: methods, label: labels, reason, newest: newestFirst = false, limit } = flags;
  const { caller, requestId, since, until, kept: keptOnly = false } = flags;
  const [states, reasons] = [parseStates(flags.state), reason.map((each) => each.toUpperCase())];
  const filter = { states, methods, labels, caller, keptOnly, reasons, requestId, since, until };
  let cursor: string | undefined;
  const operations: Operation[] = [];
  for (let pageToken = ''; ;) {
    const pageSize = Math.min(PAGE, limit - operations.length);
    const page = await list({ filter, pageSize, pageToken, newestFirst });
    cursor ??= page.cursor;
    operations.push(...page.operations);
    pageToken = page.nextPageToken;
    if (pageToken === '' || operations.length >= limit) return { ...page, operations, cursor, nextPageToken: '' };
  }
}

function rowOf(operation: Operation): string[] {
  const { operationId, method, last, caller, addresses, createTime } = operation;
  const state = last === undefined ? '' : stateName(last.state);
  const age = createTime === undefined ? '' : duration(Math.max(0, Date.now() - msOf(createTime)) / 1000);
  const reason = last?.error === undefined ? '' : (failureOf(last.error).reason ?? '');
  const labels = labelsText(operation);
  return [operationId, method, state, age, took(operation), caller, reason, labels, addresses.join(' ')];
}

/** `KEY=VALUE KEY=VALUE`. */
export function labelsText({ labels }: Pick<Operation, 'labels'>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

/** How long it has been running, or ran; empty while it is queued. */
export function took({ startTime, endTime }: Operation): string {
  if (startTime === undefined) return '';
  return duration(((endTime === undefined ? Date.now() : msOf(endTime)) - msOf(startTime)) / 1000);
}

function parseStates(names: readonly string[]): OperationState[] {
  return names.map((name) => {
    const found = Object.entries(OperationState).find(([key]) => key === `OPERATION_STATE_${name.toUpperCase()}`)?.[1];
    if (typeof found === 'number') return found;
    throw new UsageError(`--state ${name}: unknown; one of queued, running, cancelling, succeeded, failed, cancelled`);
  });
}

/** `2h`: that long ago; otherwise a time in ISO 8601. */
function timeOrAge(text: string): Timestamp {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = number === undefined ? Date.parse(text) : Date.now() - Number(number) * (UNIT_MS[unit] ?? 0);
  const time = timeOfMs(ms);
  if (time === undefined)
    throw new InvalidArgumentError('must be a time such as 2026-11-29T08:00:00Z, or an age such as 30m, 2h or 7d');
  return time;
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('must be a number from 1');
  return Number(text);
}
