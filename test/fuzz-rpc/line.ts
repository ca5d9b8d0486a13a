/** A caller that speaks HTTP/2 itself, so that it can break every rule of what lies above. */
import { fromBinary } from '@bufbuild/protobuf';
import { Metadata, status } from '@grpc/grpc-js';
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, pathOf } from '../support/descriptors.js';
import { CallError } from '../support/stranger.js';
import { bodyOf, type Case, type Manner } from './cases.js';

/** What came of a call. */
export type Outcome =
  | { readonly kind: 'status'; readonly error: CallError; readonly statusBytes: number; readonly undecodable: number }
  /** Not even gRPC: the status of HTTP. */
  | { readonly kind: 'http'; readonly status: number }
  /** The caller left, or the connection did. */
  | { readonly kind: 'left' | 'reset' | 'lost' }
  /** No end came in all the time there was. */
  | { readonly kind: 'silent' };

/** The longest deadline, and as much again as a busy machine needs. */
const SILENT_MS = 30_000;
/** Of the answer of one call. */
const MOST_READ = 8 << 20;
/** Node takes 100 by itself. */
const STREAMS = 1000;

/** Connections of one role, made anew when the daemon has ended one. */
export class Line {
  #session: ClientHttp2Session | undefined;

  /** @param open a connection to the daemon */
  constructor(private readonly open: () => Duplex) {}

  get isOpen(): boolean {
    return this.#session !== undefined && !this.#session.destroyed;
  }

  static toSocket(path: string): Line {
    return new Line(() => connectSocket(path));
  }

  close(): void {
    this.#session?.destroy();
  }

  /** Makes the call. Never fails: what comes of it is what is looked at. */
  async call(each: Case, body = bodyOf(each)): Promise<Outcome> {
    const { rpc, manner } = each;
    const alone = spoilsConnection(manner) ? this.#make() : undefined;
    let stream: ClientHttp2Stream;
    try {
      stream = (alone ?? this.#connected()).request(
        {
          ...{ ':method': 'POST', ':path': pathOf(rpc), 'content-type': 'application/grpc', te: 'trailers' },
          ...(manner.timeout === '' ? {} : { 'grpc-timeout': manner.timeout }),
          ...manner.headers,
        },
        { endStream: false },
      );
    } catch {
      return { kind: 'lost' };
    }
    const answer = new Answer(stream, manner.unread === true);
    const timers = new AbortController();
    const leaving = manner.resetAfterMs;
    const left = leaving === undefined ? undefined : after(leaving, timers.signal, () => answer.leave());
    const silent = after(SILENT_MS, timers.signal, () => answer.silent());
    await send(stream, body, each);
    await answer.ended;
    timers.abort();
    await Promise.all([left, silent]);
    const outcome = answer.outcome(rpc);
    alone?.destroy();
    return outcome;
  }

  #connected(): ClientHttp2Session {
    const session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const made = this.#make();
    made.on('goaway', () => (this.#session = undefined));
    this.#session = made;
    return made;
  }

  #make(): ClientHttp2Session {
    const made = connect('http://localhost', {
      createConnection: this.open,
      peerMaxConcurrentStreams: STREAMS,
      maxSendHeaderBlockLength: 1 << 20,
      // Of this side, which holds what it has not sent yet.
      maxSessionMemory: 1000,
    });
    made.setMaxListeners(0);
    // Each call on it hears of its end by itself.
    made.on('error', () => undefined);
    return made;
  }
}

/** What the other calls on the same connection would suffer from. */
function spoilsConnection({ unread, headers, prefix }: Manner): boolean {
  return unread === true || headers !== undefined || prefix !== undefined;
}

async function after(ms: number, signal: AbortSignal, act: () => void): Promise<void> {
  await sleep(ms, undefined, { signal }).then(act, () => undefined);
}

/** A stream that is ended meanwhile takes no more. */
async function send(stream: ClientHttp2Stream, body: Buffer, { manner }: Case): Promise<void> {
  const size = manner.pieceBytes ?? body.length;
  for (let at = 0; at < body.length && !stream.destroyed; at += size) {
    const piece = body.subarray(at, at + size);
    if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), once(stream, 'close')]).catch(() => undefined);
    if (manner.pieceBytes !== undefined && at < 20 * size) await sleep(1);
    // The first pieces come one by one; the others would only take their time.
    if (at >= 20 * size) {
      stream.write(body.subarray(at + size));
      break;
    }
  }
  if (manner.open !== true && !stream.destroyed) stream.end();
}

/**
 * At once. After close(NO_ERROR) node waits until all is sent; destroy() meanwhile takes the stream
 * away without a reset, and nghttp2, which still has it, sends empty frames for ever as soon as the
 * window opens.
 */
function reset(stream: ClientHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL);
}

/** What the daemon sends on one stream. */
class Answer {
  readonly ended: Promise<unknown>;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #headers: IncomingHttpHeaders = {};
  #why: 'left' | 'silent' | undefined;

  constructor(
    private readonly stream: ClientHttp2Stream,
    unread: boolean,
  ) {
    this.ended = new Promise((resolve) => stream.once('close', resolve));
    stream.on('error', () => undefined);
    stream.on('response', (headers) => {
      this.#headers = { ...this.#headers, ...headers };
      // A status without messages: grpc-js leaves it to the client to end the stream.
      if (headers['grpc-status'] !== undefined) reset(stream);
    });
    stream.on('trailers', (headers: IncomingHttpHeaders) => (this.#headers = { ...this.#headers, ...headers }));
    stream.on('end', () => {
      if (!stream.destroyed) reset(stream);
    });
    if (unread) return;
    stream.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      // A file without an end.
      if (this.#bytes > MOST_READ) this.leave();
    });
  }

  leave(): void {
    if (!this.stream.destroyed) this.#end('left');
  }

  silent(): void {
    if (!this.stream.destroyed) this.#end('silent');
  }

  #end(why: 'left' | 'silent'): void {
    this.#why = why;
    reset(this.stream);
    // Writes that wait for a window would keep it.
    this.stream.destroy();
  }

  outcome(rpc: string): Outcome {
    const code = this.#headers['grpc-status'];
    if (typeof code === 'string') return this.#status(rpc, Number(code));
    if (this.#why !== undefined) return { kind: this.#why };
    const http = Number(this.#headers[':status'] ?? 200);
    if (http !== 200) return { kind: 'http', status: http };
    return { kind: this.stream.session?.destroyed === false ? 'reset' : 'lost' };
  }

  #status(rpc: string, code: number): Outcome {
    const metadata = new Metadata();
    const packed = this.#headers['grpc-status-details-bin'];
    if (typeof packed === 'string') metadata.set('grpc-status-details-bin', Buffer.from(packed, 'base64'));
    const message = this.#headers['grpc-message'];
    const text = typeof message === 'string' ? message : '';
    const details = decodeURIComponent(text);
    const known = status[status[code] as keyof typeof status];
    const error = new CallError(Object.assign(new Error(), { code: known, details, metadata }));
    return {
      kind: 'status',
      error,
      statusBytes: text.length + (packed?.length ?? 0),
      undecodable: this.#undecodable(rpc),
    };
  }

  /** Messages that are not what the RPC answers. */
  #undecodable(rpc: string): number {
    const bytes = Buffer.concat(this.#pieces);
    let bad = 0;
    for (let at = 0; at + 5 <= bytes.length;) {
      const length = bytes.readUInt32BE(at + 1);
      try {
        fromBinary(answerOf(rpc), bytes.subarray(at + 5, at + 5 + length));
      } catch {
        bad += 1;
      }
      at += 5 + length;
    }
    return bad;
  }
}
