import { asHostlerError } from '../model/errors.js';
import type { Clock } from '../ports/images.js';
import { sleepOrAborted } from '../model/async.js';
import type { Reason } from '../model/reasons/reasons.js';

const AGAIN_MS = 1000;

/**
 * Repeats a call for some time after temporary failures; fails as the last attempt, and with the
 * signal's reason.
 */
export async function patiently<T>(
  ask: () => Promise<T>,
  mayPass: readonly Reason[],
  signal: AbortSignal,
  { clock, patienceMs }: { readonly clock: Clock; readonly patienceMs: number },
): Promise<{ readonly answer: T; readonly tries: number }> {
  let failingSince: number | undefined;
  for (let tries = 1; ; tries++) {
    try {
      return { answer: await ask(), tries };
    } catch (error) {
      signal.throwIfAborted();
      failingSince ??= clock();
      if (!mayPass.includes(asHostlerError(error).reason) || clock() - failingSince >= patienceMs) throw error;
      await sleepOrAborted(AGAIN_MS, signal);
    }
  }
}
