/** Adapts generated services and the handlers to grpc-js. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { Caller } from '../domain/access/caller.js';
import { HostlerError, asHostlerError } from '../domain/model/errors.js';
import type { ClientStream, Handlers, ServerStream, Unary } from '../handlers/handler.js';
import type { Rpc } from '../handlers/access-request.js';
import { RPC_TABLE, type RpcRow, type ServiceName } from '../handlers/rpc-table.js';
import { encoder } from './encode.js';
import { serveCall, wireError } from './service-call.js';
import type { CallContext } from './call.js';

/**
 * The implementation of a service whose answers are bytes, as in `answeredInBytes`; RPCs without a
 * handler answer UNIMPLEMENTED with their name.
 */
export function implement<S extends ServiceDefinition>(
  name: ServiceName,
  definition: S,
  handlers: Handlers<S>,
  context: CallContext,
): UntypedServiceImplementation {
  const rows = new Map<string, RpcRow>(Object.entries(RPC_TABLE[name]));
  const table = new Map<string, unknown>(Object.entries(handlers));
  return Object.fromEntries(
    Object.entries(definition).map(([method, rest]): [string, UntypedHandleCall] => {
      const { path, requestStream, responseStream, responseSerialize } = rest;
      const name = path.slice(1);
      const row = rows.get(method) ?? { access: 'change', addresses: {} };
      const rpc: Served = { name, row, encode: encoder(name, responseSerialize) };
      const handler = table.get(method);
      const kind = { requestStream, responseStream };
      if (isUnary(handler, kind)) return [method, serveUnary(rpc, handler, context)];
      if (isStream(handler, kind)) return [method, serveStream(rpc, handler, context)];
      if (isClientStream(handler, kind)) return [method, serveClientStream(rpc, handler, context)];
      const missing = () => {
        throw new HostlerError('NOT_IMPLEMENTED', `${rpc.name} is not served by this version`, {
          facts: { rpc: rpc.name },
        });
      };
      // Streamed requests are not read: the answer is sent at once.
      return [
        method,
        responseStream && !requestStream ? serveStream(rpc, missing, context) : serveUnary(rpc, missing, context),
      ];
    }),
  );
}

/**
 * Time to wait for a reset after the end of a stream: both arrive in one chunk, or in two
 * consecutive ones.
 */
const AFTER_END_MS = 5;

/** An RPC, and how its answers are serialised. */
interface Served extends Rpc {
  readonly encode: (answer: unknown) => Buffer;
}

// The generated definition tells the kind of a handler; its types were checked where it was
// written.
interface Kind {
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}
function isUnary(handler: unknown, { requestStream, responseStream }: Kind): handler is Unary<unknown, unknown> {
  return typeof handler === 'function' && !requestStream && !responseStream;
}
function isStream(
  handler: unknown,
  { requestStream, responseStream }: Kind,
): handler is ServerStream<unknown, unknown> {
  return typeof handler === 'function' && !requestStream && responseStream;
}
function isClientStream(handler: unknown, kind: Kind): handler is ClientStream<unknown, unknown> {
  return typeof handler === 'function' && kind.requestStream && !kind.responseStream;
}

function serveUnary(rpc: Served, handler: Unary<unknown, unknown>, context: CallContext) {
  return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    let answer: Buffer | undefined;
    const served = serveCall(rpc, call, context, async ({ caller, room }) => {
      answer = rpc.encode(await handler(call.request, caller));
      room?.shrink(answer.length);
    });
    ended(served, (failure) => {
      if (failure === undefined) callback(null, answer);
      else callback(wireError(failure));
    });
  };
}

function serveClientStream(rpc: Served, handler: ClientStream<unknown, unknown>, context: CallContext) {
  return (call: ServerReadableStream<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    let answer: Buffer | undefined;
    const served = serveCall(rpc, call, context, async ({ caller, check }) => {
      answer = rpc.encode(await handler(readRequests(call, caller, check, context.unreadMs), caller));
    });
    ended(served, (failure) => {
      if (failure === undefined) callback(null, answer);
      else callback(wireError(failure));
    });
  };
}

/** A status is always sent, also if the log line of the call could not be written. */
function ended(served: Promise<HostlerError | undefined>, send: (failure: HostlerError | undefined) => void): void {
  void served.catch(asHostlerError).then(send);
}

/**
 * The requests up to the caller's own end. A stream that breaks off before is an error, never an
 * end; so is one without a message for too long while the handler waits for it (CALLER_DEADLINE).
 */
async function* readRequests(
  call: ServerReadableStream<unknown, unknown>,
  caller: Caller,
  check: (request: unknown) => void,
  silenceMs: number,
): AsyncGenerator {
  let silent: HostlerError | undefined;
  const wait = () =>
    setTimeout(() => {
      silent = new HostlerError('CALLER_DEADLINE', `nothing was sent for ${String(silenceMs / 1000)} s`);
      call.destroy(silent);
    }, silenceMs);
  let timer = wait();
  try {
    for await (const message of call) {
      clearTimeout(timer);
      check(message);
      yield message;
      timer = wait();
    }
  } catch (error) {
    if (silent !== undefined) throw silent;
    caller.signal.throwIfAborted();
    if (error instanceof HostlerError) throw error;
    throw new HostlerError('CANCELLED', 'the request stream broke off', { cause: error });
  } finally {
    clearTimeout(timer);
  }
  // Node's clients end a stream that they reset; the reset follows immediately.
  await sleep(AFTER_END_MS);
  caller.signal.throwIfAborted();
}

function serveStream(rpc: Served, handler: ServerStream<unknown, unknown>, context: CallContext) {
  return (call: ServerWritableStream<unknown, unknown>): void => {
    const served = serveCall(rpc, call, context, async ({ caller, leave }) => {
      let read: Promise<void> | undefined;
      for await (const message of handler(call.request, caller)) {
        // A slow reader stops the generator here, with one message being sent and one being built.
        const bytes = rpc.encode(message);
        await read;
        read = call.write(bytes) ? undefined : drained(call, caller.signal, leave, context.unreadMs);
        read?.catch(() => undefined); // avoids unhandledRejection; awaited with the next message or at the end
      }
      await read;
    });
    ended(served, (failure) => {
      if (failure === undefined) call.end();
      else call.emit('error', wireError(failure));
    });
  };
}

/**
 * Fails with the signal's reason, or with WATCHER_TOO_SLOW if nothing at all is read: such a caller
 * counts as disconnected.
 */
async function drained(
  call: ServerWritableStream<unknown, unknown>,
  signal: AbortSignal,
  leave: (reason: HostlerError) => void,
  unreadMs: number,
) {
  const unread = new AbortController();
  // A timeout signal would exist until its time, however soon the caller reads.
  const timer = setTimeout(() => {
    unread.abort();
  }, unreadMs);
  try {
    await once(call, 'drain', { signal: AbortSignal.any([signal, unread.signal]) });
  } catch {
    leave(new HostlerError('WATCHER_TOO_SLOW', `nothing was read for ${String(unreadMs / 1000)} s`));
    signal.throwIfAborted();
  } finally {
    clearTimeout(timer);
  }
}
