/**
 * Messages of a call as they come in, before grpc-js has put them together: what is too long ends
 * here, at its first bytes.
 */
import { Duplex } from 'node:stream';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** A flag, and the length of what follows. */
const HEAD_BYTES = 5;

export interface FrameListener {
  /** A message that is announced to have so many bytes begins. False: nothing more is looked at. */
  begins(bytes: number): boolean;
  /** So many bytes of a message that is not whole yet are held now; 0: none. */
  holds(bytes: number): boolean;
  /** The stream is closed: nothing of it is held any more. Comes last, once. */
  gone(): void;
}

/**
 * Hears of a call's messages before grpc-js does. The stream is hidden inside of grpc-js' call
 * (1.14: `stream`); where a later version hides it elsewhere, what remains is grpc-js' own limit,
 * which is the same for all RPCs.
 */
export function watchFrames(call: ServerInterceptingCallInterface, listener: FrameListener): void {
  const stream = streamOf(call);
  if (stream === undefined) return;
  const frames = new Frames(listener);
  const onData = (chunk: Buffer) => {
    if (!frames.take(chunk)) stream.off('data', onData);
  };
  stream.prependListener('data', onData);
  stream.once('close', () => {
    stream.off('data', onData);
    listener.gone();
  });
}

/**
 * Whether the caller has reset the stream. Node ends its readable side then, as if the caller had
 * sent all that it wanted.
 */
export function isReset(call: ServerInterceptingCallInterface): boolean {
  const stream = streamOf(call);
  return stream !== undefined && Reflect.get(stream, 'aborted') === true;
}

/**
 * Ends the stream at once; what was to be sent on it is dropped. For streams that nobody has closed
 * with NO_ERROR: node (24) takes such a one away without a reset while bytes of it are unsent, and
 * sends empty frames for ever when the caller opens its window.
 */
export function resetStream(call: ServerInterceptingCallInterface): void {
  streamOf(call)?.destroy();
}

function streamOf(call: ServerInterceptingCallInterface): Duplex | undefined {
  const stream: unknown = Reflect.get(call, 'stream');
  return stream instanceof Duplex ? stream : undefined;
}

/**
 * Counts gRPC's frames (five bytes of head, then the message) in the data of an HTTP/2 stream.
 * Keeps no message bytes.
 */
export class Frames {
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #left = 0;
  #held = 0;

  constructor(private readonly listener: Pick<FrameListener, 'begins' | 'holds'>) {}

  /**
   * The next bytes of the stream, in pieces of any length. False when the listener has had enough.
   */
  take(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length;) {
      const taken = this.#left > 0 ? this.#body(chunk.length - at) : this.#begin(chunk, at);
      if (taken === undefined) return false;
      at += taken;
    }
    return this.listener.holds(this.#held);
  }

  #begin(chunk: Buffer, at: number): number | undefined {
    const taken = chunk.copy(this.#head, this.#headBytes, at, at + HEAD_BYTES - this.#headBytes);
    this.#headBytes += taken;
    this.#held = this.#headBytes;
    if (this.#headBytes < HEAD_BYTES) return taken;
    this.#headBytes = 0;
    this.#left = this.#head.readUInt32BE(1);
    if (this.#left === 0) this.#held = 0;
    return this.listener.begins(this.#left) ? taken : undefined;
  }

  #body(available: number): number {
    const taken = Math.min(available, this.#left);
    this.#left -= taken;
    this.#held = this.#left === 0 ? 0 : this.#held + taken;
    return taken;
  }
}
