import type { ClientReadableStream } from '@grpc/grpc-js';
import type { HostlerError } from '../domain/errors.js';
import { orAborted } from '../domain/waiting.js';

/**
 * The messages of a call as they come. Ends the call when nobody wants them any more. Fails with the signal's reason, with what `onSilence`
 * says when none comes for so long, and as the call does.
 */
export async function* messagesOf<T>(
  stream: ClientReadableStream<T>,
  signal: AbortSignal,
  limitMs: number,
  onSilence: () => HostlerError,
): AsyncGenerator<T, void> {
  stream.on('error', () => undefined); // heard where the next message is waited for
  const silence = new AbortController();
  const stop = AbortSignal.any([signal, silence.signal]);
  const messages: AsyncIterator<T, void> = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(() => {
        silence.abort(onSilence());
      }, limitMs);
      const next = await orAborted(messages.next(), stop).finally(() => {
        clearTimeout(timer);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    stream.cancel();
  }
}
