/** A watch of all operations that survives restarts of the daemon. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { only, type CallOptions, type Caller } from './calls.js';
import { Code, ConnectionError, HostlerError } from './errors.js';
import {
  ListOperationsRequestSchema,
  OperationService,
  WatchOperationsRequestSchema,
  type WatchOperationsResponse,
} from './gen/hostler/v1/operation_service_pb.js';
import { Backoff, retrying, type RetryPolicy } from './retry.js';

/** Options of a watch. */
export interface WatchOptions extends Omit<CallOptions, 'timeoutMs'> {
  /** How the watch is opened again. */
  readonly retry?: RetryPolicy;
}

/**
 * Events of all operations that match. When the connection or the daemon goes away, the watch goes
 * on after the last event that was read, and misses nothing. Each event has the `cursor` with which
 * a later watch, also of another process, goes on. It ends when its loop is left. Throws
 * HostlerError: CURSOR_TOO_OLD if the history does not go back to the cursor.
 */
export async function* watchOperations(
  caller: Caller,
  request: MessageInitShape<typeof WatchOperationsRequestSchema> = {},
  { signal, retry }: WatchOptions = {},
): AsyncGenerator<WatchOperationsResponse, void> {
  const { filter, cursor: given } = create(WatchOperationsRequestSchema, request);
  const backoff = new Backoff(retry);
  // Where to go on if the watch breaks before its first event.
  let next = given === '' ? await retrying(() => cursorOfNow(caller, signal), retry, signal) : given;
  for (let cursor = given; ; cursor = next) {
    try {
      const open = create(WatchOperationsRequestSchema, { cursor, ...(filter === undefined ? {} : { filter }) });
      for await (const event of caller.stream(OperationService.method.watchOperations, only(open), { signal })) {
        backoff.reset();
        next = event.cursor;
        // While nothing matches, the daemon only says how far the watch has come.
        if (event.event !== undefined) yield event;
      }
    } catch (error) {
      await backoff.wait(error, signal);
      continue;
    }
    const { address } = caller.endpoint;
    await backoff.wait(new ConnectionError(address, 'connection-lost', 'the watch ended', 'Watch again.'), signal);
  }
}

/** The cursor of a list; empty for a caller who may not list. */
async function cursorOfNow(caller: Caller, signal: AbortSignal | undefined): Promise<string> {
  const request = create(ListOperationsRequestSchema, { pageSize: 1 });
  try {
    const { cursor } = await caller.one(OperationService.method.listOperations, only(request), { signal });
    return cursor;
  } catch (error) {
    if (error instanceof HostlerError && error.code === Code.PERMISSION_DENIED) return '';
    throw error;
  }
}
