/**
 * One pattern of RE2, whose matching time is linear in the text and in the pattern. The library is
 * loaded only if there are patterns.
 */
export interface Pattern {
  readonly matches: (text: string) => boolean;
  /** Steps for each character of a text, at most. */
  readonly steps: number;
}

/**
 * Compiles a pattern that matches whole texts; a dot matches any character. Fails with what is
 * wrong in it.
 */
export async function compile(text: string): Promise<Pattern> {
  const { RE2JS } = await import('re2js');
  const pattern = RE2JS.compile(RE2JS.translateRegExp(text), RE2JS.DOTALL);
  return { matches: (argument) => pattern.matches(argument), steps: pattern.programSize() };
}

/** The index of the first text that no pattern matches; undefined: there is none. */
export function firstMisfit(patterns: readonly Pattern[], texts: readonly string[]): number | undefined {
  const place = texts.findIndex((text) => !patterns.some(({ matches }) => matches(text)));
  return place < 0 ? undefined : place;
}
