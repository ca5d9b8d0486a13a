/** Calls that a caller has open, counted from their headers on: before a message is read, and before any handler knows of them. */
import {
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { HostlerError, asHostlerError } from '../domain/errors.js';
import { wireError } from './service-call.js';

export interface CallLimits {
  /** Open at once, of one caller, over all of its connections. */
  readonly callsPerCaller: number;
  /** For the first message of a call. */
  readonly firstMessageMs: number;
}

const RETRY_MS = 1000;

/** @param whoIs the caller's name by a connection's far end; fails with NOT_AUTHENTICATED */
export function limitCalls(
  { callsPerCaller, firstMessageMs }: CallLimits,
  open: Map<string, number>,
  whoIs: (peer: string) => string,
): ServerInterceptor {
  const enter = (caller: string): (() => void) => {
    const before = open.get(caller) ?? 0;
    if (before >= callsPerCaller)
      throw new HostlerError('TOO_MANY_CALLS', `${caller} has ${String(callsPerCaller)} calls open already`, {
        facts: { caller, calls: String(callsPerCaller) },
        retryAfterMs: RETRY_MS,
      });
    open.set(caller, before + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const rest = (open.get(caller) ?? 1) - 1;
      if (rest === 0) open.delete(caller);
      else open.set(caller, rest);
    };
  };
  return (_, call) => {
    try {
      return counted(call, enter(whoIs(call.getPeer())), firstMessageMs);
    } catch (error) {
      return refused(call, asHostlerError(error));
    }
  };
}

/** A call that nobody starts: its status is all there is. */
function refused(call: ServerInterceptingCallInterface, error: HostlerError): ServerInterceptingCall {
  return new ServerInterceptingCall(
    call,
    new ResponderBuilder()
      .withStart(() => {
        const { code, details, metadata } = wireError(error);
        call.sendStatus({ code, details, metadata });
      })
      .build(),
  );
}

function counted(call: ServerInterceptingCallInterface, leave: () => void, firstMessageMs: number) {
  const timer = setTimeout(() => {
    const seconds = String(firstMessageMs / 1000);
    const { code, details, metadata } = wireError(
      new HostlerError('CALLER_DEADLINE', `no message came within ${seconds} s`),
    );
    call.sendStatus({ code, details, metadata });
  }, firstMessageMs);
  const listener = new ServerListenerBuilder()
    .withOnReceiveMessage((message, next) => {
      clearTimeout(timer);
      next(message);
    })
    // Comes at every end, once the status is out or the stream is gone: what the caller does not read counts until then.
    .withOnCancel(() => {
      clearTimeout(timer);
      leave();
    })
    .build();
  return new ServerInterceptingCall(
    call,
    new ResponderBuilder()
      .withStart((next) => {
        next(listener);
      })
      .build(),
  );
}
