/**
 * Patterns of `[[commands]]`, matched against what callers send: by RE2, whose time grows with the length of the text only. The library is
 * loaded where there are patterns.
 */
import type { ArgumentRule } from '../domain/execute-command.js';
import { breathe } from '../domain/waiting.js';

type Pattern = (text: string) => boolean;

/** Why it is no pattern; undefined: it is one. */
export async function whyNoPattern(text: string): Promise<string | undefined> {
  try {
    await compile(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** An argument fits when one of the patterns matches all of it; a dot is any character. */
export class ArgumentPatterns implements ArgumentRule {
  #compiled: Promise<readonly Pattern[]> | undefined;

  constructor(private readonly texts: readonly string[]) {}

  async misfit(args: readonly string[], signal: AbortSignal): Promise<number | undefined> {
    this.#compiled ??= Promise.all(this.texts.map(compile));
    const patterns = await this.#compiled;
    for (const [place, arg] of args.entries()) {
      if (!patterns.some((matches) => matches(arg))) return place;
      await breathe();
      signal.throwIfAborted();
    }
    return undefined;
  }
}

/** Fails with what is wrong in it. */
async function compile(text: string): Promise<Pattern> {
  const { RE2JS } = await import('re2js');
  const pattern = RE2JS.compile(RE2JS.translateRegExp(text), RE2JS.DOTALL);
  return (argument) => pattern.matches(argument);
}
