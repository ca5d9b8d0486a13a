import { Command } from 'commander';
import { Operation, OperationEvent } from '../../gen/hostler/v1/operation.js';
import {
  CancelOperationResponse,
  WatchOperationsResponse,
  type GetOperationResponse,
} from '../../gen/hostler/v1/operation_service.js';
import { timeText } from '../../protocol/times.js';
import { ask, type Connection } from '../connection.js';
import type { Context } from '../context.js';
import { UsageError, exitCode, explain, failureOf } from '../failure.js';
import { describeCancelled, events, showWarnings } from '../follow.js';
import { failureCodeOf, resultCode } from '../help/exit-codes.js';
import { stateName } from '../names.js';
import { collectLabel } from '../options.js';
import { showResult } from '../show-result.js';
import { createView, frameOf, isTelling } from '../terminal/progress-view.js';
import { bytes, listing, printable } from '../text.js';
import { logCommand } from './ops-log.js';
import { labelsText, listCommand, took } from './ops-list.js';

/** `hostler ops …`. */
export function opsCommands(context: Context): Command[] {
  return [
    listCommand(context),
    showCommand(context),
    logCommand(context),
    watchCommand(context),
    cancelCommand(context),
  ];
}

function showCommand(context: Context): Command {
  return new Command('show')
    .description('one operation')
    .argument('<id>')
    .action((operationId: string) =>
      context.use(async (connection) => {
        const { operation } = await ask<GetOperationResponse>((done) =>
          connection.operations.getOperation({ operationId }, done),
        );
        if (operation !== undefined) context.print(Operation, operation, describe(operation));
      }),
    );
}

function watchCommand(context: Context): Command {
  return new Command('watch')
    .description("follow one operation, or every change on the host; exits as the operation's own command would")
    .argument('[id]')
    .option('--cursor <cursor>', 'without an id: continue after the event that --json printed with this cursor', '')
    .action((id: string | undefined, { cursor }: { cursor: string }) =>
      context.use(async (connection) => {
        if (id !== undefined && cursor !== '') throw new UsageError('--cursor goes with no id');
        if (id === undefined) await watchAll(connection, cursor, context);
        else await watchOne(connection, id, context);
      }),
    );
}

async function watchAll({ operations }: Connection, cursor: string, context: Context): Promise<void> {
  for await (const change of events(operations.watchOperations({ filter: undefined, cursor })))
    // Without an event it tells the position of the watch.
    if (context.json || change.event !== undefined) context.print(WatchOperationsResponse, change, changeLine(change));
}

/** Sets the exit code that the operation's own command has. */
async function watchOne({ operations }: Connection, operationId: string, context: Context): Promise<void> {
  const view = createView(process.stderr, context.json);
  const { operation } = await ask<GetOperationResponse>((done) => operations.getOperation({ operationId }, done));
  for await (const event of events(operations.watchOperation({ operationId }))) {
    if (context.json) context.print(OperationEvent, event, '');
    if (isTelling(event)) view.show(frameOf(event));
    if (event.result === undefined && event.error === undefined) continue;
    view.end();
    showWarnings(event);
    if (!context.json) process.stdout.write(`${endText(event)}\n`);
    if (event.result !== undefined) process.exitCode = resultCode(event.result);
    if (event.error === undefined) continue;
    const failure = failureOf(event.error);
    process.stderr.write(`${explain(failure)}\n`);
    process.exitCode = failureCodeOf(operation?.method, exitCode(failure));
  }
}

function endText({ state, result }: OperationEvent): string {
  return result === undefined ? stateName(state) : `${stateName(state)}\n${showResult(result)}`;
}

function cancelCommand(context: Context): Command {
  return new Command('cancel')
    .description('end operations; answers when their processes and files are gone')
    .argument('[id]')
    .option('--label <key=value>', 'all with this label; may be given more than once', collectLabel, {})
    .action((id: string | undefined, { label }: { label: Record<string, string> }) =>
      context.use(async ({ operations }) => {
        const answer = await ask<CancelOperationResponse>((done) =>
          operations.cancelOperation({ operationId: id ?? '', labels: label }, done),
        );
        const text =
          answer.operations.length === 0 ? 'nothing to cancel' : answer.operations.map(describeCancelled).join('\n');
        context.print(CancelOperationResponse, answer, text);
      }),
    );
}

function describe(operation: Operation): string {
  const { last } = operation;
  const facts = listing([
    ['operation', operation.operationId],
    ['method', operation.method],
    ['state', last === undefined ? undefined : stateName(last.state)],
    ['paths', operation.addresses.join(' ')],
    ['caller', operation.caller],
    ['request id', operation.requestId === '' ? undefined : operation.requestId],
    ['labels', labelsText(operation) || undefined],
    ['started', operation.startTime && timeText(operation.startTime)],
    ['took', took(operation) || undefined],
    [
      'progress',
      last?.progress?.totalBytes === undefined || last.progress.totalBytes === 0n
        ? undefined
        : `${bytes(last.progress.doneBytes)} of ${bytes(last.progress.totalBytes)}`,
    ],
    ['kept', operation.kept && `${bytes(operation.kept.bytes)} until ${timeText(operation.kept.expireTime)}`],
    ...operation.warnings.map(({ reason, message }) => ['warning', `${reason}: ${message}`] as const),
  ]);
  const end =
    last?.result !== undefined
      ? `\n${showResult(last.result)}`
      : last?.error !== undefined
        ? `\n${explain(failureOf(last.error))}`
        : '';
  return `${facts}${end}`;
}

/** One change of one operation as a line: time, id, state, caller, and warnings. */
export function changeLine(change: WatchOperationsResponse): string {
  const { event, method, caller, addresses } = change;
  const { doneBytes = 0n, totalBytes = 0n } = event?.progress ?? {};
  const reason = event?.error === undefined ? undefined : failureOf(event.error).reason;
  const parts = [
    timeText(event?.eventTime),
    event?.operationId,
    method,
    event === undefined ? '' : stateName(event.state),
    totalBytes === 0n ? '' : `${bytes(doneBytes)} of ${bytes(totalBytes)}`,
    reason,
    ...(event?.warnings ?? []).map((warning) => `(${warning.reason})`),
    `by ${caller}`,
    labelsText(change),
    ...addresses,
  ];
  return parts.flatMap((part) => (part === undefined || part === '' ? [] : printable(part))).join(' ');
}
