/**
 * One pattern of RE2, whose time grows with the length of the text, and with its own. The library
 * is loaded where there are patterns.
 */
export interface Pattern {
  readonly matches: (text: string) => boolean;
  /** Each character of a text costs so many steps at the most. */
  readonly steps: number;
}

/** Matches a whole text; a dot is any character. Fails with what is wrong in it. */
export async function compile(text: string): Promise<Pattern> {
  const { RE2JS } = await import('re2js');
  const pattern = RE2JS.compile(RE2JS.translateRegExp(text), RE2JS.DOTALL);
  return { matches: (argument) => pattern.matches(argument), steps: pattern.programSize() };
}

/** The place of the first text that none of the patterns matches; undefined: there is none. */
export function firstMisfit(patterns: readonly Pattern[], texts: readonly string[]): number | undefined {
  const place = texts.findIndex((text) => !patterns.some(({ matches }) => matches(text)));
  return place < 0 ? undefined : place;
}
