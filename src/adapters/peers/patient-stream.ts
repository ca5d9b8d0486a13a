import type { ClientReadableStream } from '@grpc/grpc-js';
import type { HostlerError } from '../../domain/model/errors.js';
import { orAborted } from '../../domain/model/async.js';

/**
 * The messages of a call as they arrive. Cancels the call when the reader stops. Fails with the
 * signal's reason, with the error of `onSilence` if nothing new arrives for that time, and as the
 * call does.
 * @param isNew whether a message counts as new: messages without progress would keep the call open
 * forever
 */
export async function* messagesOf<T>(
  stream: ClientReadableStream<T>,
  signal: AbortSignal,
  limitMs: number,
  onSilence: () => HostlerError,
  isNew: (message: T) => boolean = () => true,
): AsyncGenerator<T, void> {
  stream.on('error', () => undefined); // thrown where the next message is awaited
  const silence = new AbortController();
  const stop = AbortSignal.any([signal, silence.signal]);
  const messages: AsyncIterator<T, void> = stream[Symbol.asyncIterator]();
  let leftMs = limitMs;
  try {
    for (;;) {
      const waitingSince = performance.now();
      const timer = setTimeout(() => {
        silence.abort(onSilence());
      }, leftMs);
      const next = await orAborted(messages.next(), stop).finally(() => {
        clearTimeout(timer);
      });
      if (next.done === true) return;
      leftMs = isNew(next.value) ? limitMs : leftMs - (performance.now() - waitingSince);
      yield next.value;
    }
  } finally {
    stream.cancel();
  }
}
