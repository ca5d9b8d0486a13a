/**
 * Observes the messages of a call as they arrive, before grpc-js assembles them: a message that is
 * too long is rejected at its first bytes.
 */
import { Duplex } from 'node:stream';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** A flag, and the length of the message. */
const HEAD_BYTES = 5;

export interface FrameListener {
  /** A message with this announced length begins. False: stop reading. */
  begins(bytes: number): boolean;
  /** Number of bytes of an incomplete message in memory; 0: none. */
  holds(bytes: number): boolean;
  /** The stream is closed: none of its bytes are in memory any more. Called last, once. */
  gone(): void;
}

/**
 * Observes a call's messages before grpc-js does. The stream is hidden inside grpc-js' call (1.14:
 * `stream`); if a later version hides it elsewhere, only grpc-js' own limit remains, which is the
 * same for all RPCs.
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
 * Whether the caller has reset the stream. Node then ends its readable side as if the caller had
 * sent everything.
 */
export function isReset(call: ServerInterceptingCallInterface): boolean {
  const stream = streamOf(call);
  return stream !== undefined && Reflect.get(stream, 'aborted') === true;
}

/**
 * Ends the stream at once; unsent data is dropped. For streams that were not closed with NO_ERROR:
 * node (24) removes such a stream without a reset while bytes of it are unsent, and sends empty
 * frames forever when the caller opens its window.
 */
export function resetStream(call: ServerInterceptingCallInterface): void {
  streamOf(call)?.destroy();
}

function streamOf(call: ServerInterceptingCallInterface): Duplex | undefined {
  const stream: unknown = Reflect.get(call, 'stream');
  return stream instanceof Duplex ? stream : undefined;
}

/**
 * Counts gRPC's frames (a head of five bytes, then the message) in the data of an HTTP/2 stream.
 * Stores no message bytes.
 */
export class Frames {
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #left = 0;
  #held = 0;

  constructor(private readonly listener: Pick<FrameListener, 'begins' | 'holds'>) {}

  /** The next bytes of the stream, in chunks of any length. False if the listener wants no more. */
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
