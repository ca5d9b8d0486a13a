/** Patterns of `[[commands]]`, matched against the arguments that callers send. */
import { FairRoom, ONE_THREAD } from '../../domain/budgets/fair-room.js';
import { breathe } from '../../domain/model/async.js';
import { matchInThread } from './match-in-thread.js';
import { compile, firstMisfit, type Pattern } from './pattern.js';
import type { ArgumentRule } from '../../domain/ports/commands.js';
import type { Waiter } from '../../domain/model/waiter.js';

/**
 * Limit for matching one argument on the main thread; a step took a microsecond at most (4096
 * characters by 84 steps: 317 ms).
 */
const FEW_STEPS = 8000;

/** Why the text is not a pattern; undefined: it is one. */
export async function whyNoPattern(text: string): Promise<string | undefined> {
  try {
    await compile(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * An argument fits if one of the patterns matches all of it. Slow matches run in a thread, one call
 * at a time, with the callers taking turns. Fails with TOOL_LIMIT_EXCEEDED if that takes too long.
 */
export class ArgumentPatterns implements ArgumentRule {
  #compiled: Promise<readonly Pattern[]> | undefined;
  readonly #thread = new FairRoom(ONE_THREAD);

  constructor(private readonly texts: readonly string[]) {}

  async misfit(args: readonly string[], waiter: Waiter): Promise<number | undefined> {
    this.#compiled ??= Promise.all(this.texts.map(compile));
    const patterns = await this.#compiled;
    const steps = patterns.reduce((sum, pattern) => sum + pattern.steps, 0);
    if (args.some(({ length }) => length * steps > FEW_STEPS)) return this.#inTurn(args, waiter);
    for (const [place, arg] of args.entries()) {
      if (firstMisfit(patterns, [arg]) !== undefined) return place;
      await breathe();
      waiter.signal.throwIfAborted();
    }
    return undefined;
  }

  async #inTurn(args: readonly string[], { identity, signal }: Waiter): Promise<number | undefined> {
    const turn = await this.#thread.take(identity, 1, signal);
    try {
      return await matchInThread({ patterns: this.texts, args }, signal);
    } finally {
      turn.give();
    }
  }
}
