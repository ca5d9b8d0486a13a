/**
 * What a caller has open, counted from the headers of its calls on: before a message is read, and
 * before any handler runs.
 */
import {
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { HostlerError, asHostlerError } from '../domain/model/errors.js';
import { OutOfBoundsRequest, refusedMessage } from './bounds/bounded-server.js';
import { ReadCall } from './bounds/read-call.js';
import { isReset, resetStream, watchFrames } from './bounds/frames.js';
import { Shares } from './bounds/shares.js';
import { wireError } from './service-call.js';

export interface CallLimits {
  /** Open at the same time, for one caller, over all of its connections. */
  readonly callsPerCaller: number;
  /**
   * Bytes of incomplete messages, and of the request of each open call, for one caller, over all of
   * its connections.
   */
  readonly partBytesPerCaller: number;
  /** Watch streams that are open at the same time, for one caller. */
  readonly watchesPerCaller: number;
  /** Streams in which one caller sends, open at the same time. */
  readonly incomingStreamsPerCaller: number;
  /** Time limit for the first message of a call. */
  readonly firstMessageMs: number;
  /** Time limit for reading the rest once a call is over. */
  readonly unreadMs: number;
}

const RETRY_MS = 1000;
/** This many callers together may use their full limit of bytes. */
const CALLERS = 4;
/**
 * Time for a call that ends because its answers are not read to send its status, or at least to log
 * it, before its stream is reset.
 */
const LAST_WORDS_MS = 500;

/** What all callers together have open, over all addresses. */
export class OpenCalls {
  readonly calls: Shares;
  readonly partBytes: Shares;
  readonly watches: Shares;
  readonly incoming: Shares;

  constructor(readonly limits: CallLimits) {
    this.calls = new Shares(limits.callsPerCaller);
    this.partBytes = new Shares(limits.partBytesPerCaller, CALLERS * limits.partBytesPerCaller);
    this.watches = new Shares(limits.watchesPerCaller);
    this.incoming = new Shares(limits.incomingStreamsPerCaller);
  }
}

/** How calls are counted. */
export interface CallPolicy {
  /** The caller's name by the client address of a connection; fails with NOT_AUTHENTICATED. */
  readonly whoIs: (peer: string) => string;
  /** The maximum length of a message to an RPC, by its path. */
  readonly messageBytes: (path: string) => number;
  /**
   * Whether the RPC's own handler gets requests that were not decoded, so that they are logged with
   * the call.
   */
  readonly takesOutOfBounds: (path: string) => boolean;
}

/**
 * Counts each caller's open calls and streams. Refuses with TOO_MANY_CALLS, CALLER_AT_LIMIT or
 * NOT_AUTHENTICATED before the request is read.
 */
export function limitCalls(open: OpenCalls, policy: CallPolicy): ServerInterceptor {
  return ({ path, requestStream, responseStream }, call) => {
    try {
      const caller = policy.whoIs(call.getPeer());
      const watches = responseStream && WATCH.test(path);
      // Reflection's streams carry queries, and are limited as calls.
      const sends = requestStream && policy.takesOutOfBounds(path);
      const leave = enter(open, caller, sends ? 'incoming' : watches ? 'watches' : undefined);
      const counted = new CountedCall(open, caller, call, leave);
      return counted.limited(policy.messageBytes(path), policy.takesOutOfBounds(path), !requestStream);
    } catch (error) {
      return refused(call, asHostlerError(error));
    }
  };
}

/** RPCs whose streams last as long as their callers want. */
const WATCH = /\/Watch[A-Za-z]*$/;

/** Returns a function to call at the end. Fails with TOO_MANY_CALLS, CALLER_AT_LIMIT. */
function enter({ calls, limits, ...streams }: OpenCalls, caller: string, kind?: 'watches' | 'incoming'): () => void {
  if (!calls.take(caller, 1)) {
    const most = String(limits.callsPerCaller);
    throw new HostlerError('TOO_MANY_CALLS', `${caller} has ${most} calls open already`, {
      facts: { caller, calls: most },
      retryAfterMs: RETRY_MS,
    });
  }
  if (kind !== undefined && !streams[kind].take(caller, 1)) {
    calls.give(caller, 1);
    const most = String(kind === 'watches' ? limits.watchesPerCaller : limits.incomingStreamsPerCaller);
    const what = kind === 'watches' ? 'streams that watch' : 'streams in which it sends';
    throw new HostlerError('CALLER_AT_LIMIT', `${caller} has ${most} ${what} open already`, {
      facts: { caller, streams: most },
      retryAfterMs: RETRY_MS,
    });
  }
  return () => {
    calls.give(caller, 1);
    if (kind !== undefined) streams[kind].give(caller, 1);
  };
}

/** A call that is never started: only its status is sent. */
function refused(call: ServerInterceptingCallInterface, error: HostlerError): ServerInterceptingCall {
  return new ServerInterceptingCall(
    call,
    new ResponderBuilder()
      .withStart(() => {
        end(call, error);
      })
      .build(),
  );
}

function end(call: ServerInterceptingCallInterface, error: HostlerError): void {
  const { code, details, metadata } = wireError(error);
  call.sendStatus({ code, details, metadata });
}

class CountedCall {
  /** For the first message. */
  readonly #timer: NodeJS.Timeout;
  /** Runs while an answer waits for its reader. */
  #unread: NodeJS.Timeout | undefined;
  #over = false;
  /** Bytes of an incomplete message. */
  #part = 0;

  constructor(
    private readonly open: OpenCalls,
    private readonly caller: string,
    private readonly call: ServerInterceptingCallInterface,
    private readonly leave: () => void,
  ) {
    const { firstMessageMs } = open.limits;
    this.#timer = setTimeout(() => {
      const seconds = String(firstMessageMs / 1000);
      end(call, new HostlerError('CALLER_DEADLINE', `no message came within ${seconds} s`));
    }, firstMessageMs);
  }

  limited(messageBytes: number, takesOutOfBounds: boolean, onlyOne: boolean): ServerInterceptingCall {
    let whole = 0;
    watchFrames(this.call, {
      begins: (bytes) => {
        // The single request of a call counts as long as the call is open.
        if (onlyOne) whole = bytes;
        if (bytes <= messageBytes) return true;
        end(this.call, refusedMessage(messageBytes));
        return false;
      },
      holds: (bytes) => this.#hold(bytes === 0 ? whole : bytes),
      gone: () => this.#give(),
    });
    const listener = new ServerListenerBuilder()
      .withOnReceiveMessage((message, next) => {
        clearTimeout(this.#timer);
        if (message instanceof OutOfBoundsRequest && !takesOutOfBounds) end(this.call, message.error);
        else next(message);
      })
      // A stream that was reset has no regular end: the cancel follows.
      .withOnReceiveHalfClose((next) => {
        if (!isReset(this.call)) next();
      })
      // Called at every end, once the status is sent or the stream is gone: unread answers count
      // until then.
      .withOnCancel(() => {
        this.#leave();
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => {
        next(listener);
      })
      .build();
    return new ReadCall(this.call, responder, {
      waits: () => this.#awaitReader(),
      read: () => clearTimeout(this.#unread),
    });
  }

  /** Runs until the call is over. */
  #awaitReader(): void {
    clearTimeout(this.#unread);
    const ms = this.open.limits.unreadMs + LAST_WORDS_MS;
    if (!this.#over) this.#unread = setTimeout(() => resetStream(this.call), ms);
  }

  #hold(bytes: number): boolean {
    const { partBytes, limits } = this.open;
    const fits = partBytes.take(this.caller, bytes - this.#part);
    if (fits) this.#part = bytes;
    else {
      const most = String(limits.partBytesPerCaller);
      const inAll = String(CALLERS * limits.partBytesPerCaller);
      const text = `the messages of open calls are too long: of ${this.caller}, ${most} bytes, or of all callers, ${inAll}`;
      const facts = { caller: this.caller, part_bytes: most };
      end(this.call, new HostlerError('CALLER_AT_LIMIT', text, { facts, retryAfterMs: RETRY_MS }));
    }
    return fits;
  }

  #leave(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#unread);
    this.leave();
  }

  /** grpc-js holds the bytes until the stream is gone, also for a call that has ended. */
  #give(): void {
    this.open.partBytes.give(this.caller, this.#part);
    this.#part = 0;
  }
}
