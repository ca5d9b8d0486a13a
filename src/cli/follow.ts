import type { ClientReadableStream } from '@grpc/grpc-js';
import { OperationEvent } from '../gen/hostler/v1/operation.js';
import type { CancelledOperation } from '../gen/hostler/v1/operation_service.js';
import { ask, type Connection } from './connection.js';
import { EXIT, resultCode } from './help/exit-codes.js';
import type { JsonPrinter } from './json/printer.js';
import { stateName } from './names.js';
import { printable } from './text.js';
import { showResult } from './show-result.js';
import { createView, frameOf, isTelling } from './terminal/progress-view.js';

export interface FollowOptions {
  /** Set: the last event is printed as JSON. */
  readonly json: JsonPrinter | undefined;
  readonly detach: boolean;
}

/** Follows an operation to its end and shows it; Ctrl-C cancels it and shows what was removed. */
export async function follow(
  stream: ClientReadableStream<OperationEvent>,
  connection: Connection,
  { json, detach }: FollowOptions,
): Promise<void> {
  const view = createView(process.stderr, json !== undefined);
  let last: OperationEvent | undefined;
  let cancelling: Promise<void> | undefined;
  const interrupt = () => {
    cancelling = cancelAndExit(connection, last?.operationId);
  };
  process.once('SIGINT', interrupt);
  try {
    for await (const event of events(stream)) {
      last = event;
      if (detach && event.result === undefined) break;
      if (isTelling(event)) view.show(frameOf(event));
    }
  } finally {
    // The stream ends with an error because of the cancel; the cancel's own answer is more
    // informative, and then the command exits.
    await cancelling;
    view.end();
    process.off('SIGINT', interrupt);
    if (last !== undefined) showWarnings(last);
  }
  if (last === undefined) return;
  if (last.result !== undefined) process.exitCode = resultCode(last.result);
  if (json !== undefined) json.message(OperationEvent, last);
  else if (last.result === undefined) process.stdout.write(`${last.operationId}\n`);
  else process.stdout.write(`${showResult(last.result)}\n`);
}

/** The warnings of an event, one on each line, on standard error. */
export function showWarnings({ warnings }: OperationEvent): void {
  for (const { reason, message } of warnings)
    process.stderr.write(`hostler: warning: ${printable(message)} [${printable(reason)}]\n`);
}

/** The stream's events, typed; leaving the loop ends the call. */
export function events<T>(stream: ClientReadableStream<T>): AsyncGenerator<T, void> {
  // The error may come before the loop begins, or after the loop was left because of another error,
  // which is shown.
  let failure: Error | undefined;
  stream.on('error', (error: Error) => (failure = error));
  return iterate(stream, () => {
    if (failure !== undefined) throw failure;
  });
}

async function* iterate<T>(stream: ClientReadableStream<T>, throwFailure: () => void): AsyncGenerator<T, void> {
  const untyped: AsyncIterable<T> = stream;
  try {
    throwFailure();
    yield* untyped;
    throwFailure();
  } finally {
    stream.cancel();
  }
}

/** The outcome of a cancel, for people. */
export function describeCancelled({ operationId, state, removedPaths, endedPids }: CancelledOperation): string {
  const lines = [
    ...endedPids.map((pid) => `  ended process ${String(pid)}`),
    ...removedPaths.map((path) => `  removed ${printable(path)}`),
  ];
  return [`${operationId} ${stateName(state)}`, ...lines].join('\n');
}

async function cancelAndExit(connection: Connection, operationId: string | undefined): Promise<void> {
  process.once('SIGINT', () => process.exit(EXIT.cancelled));
  if (operationId !== undefined) {
    try {
      const { operations } = await ask<{ operations: CancelledOperation[] }>((done) =>
        connection.operations.cancelOperation({ operationId, labels: {} }, done),
      );
      process.stderr.write(`\n${operations.map(describeCancelled).join('\n')}\n`);
    } catch (error) {
      process.stderr.write(`\nhostler: the cancel failed: ${String(error)}\n`);
    }
  }
  process.exit(EXIT.cancelled);
}
