const [BEGIN, END] = ['<!-- corpus -->', '<!-- /corpus -->'];

/** What docs/reference/corpus.md has between the two marks. */
export function betweenMarks(text: string): string {
  return text.slice(text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END));
}

/** The same text with other words between the marks. */
export function withBetween(text: string, words: string): string {
  return text.slice(0, text.indexOf(BEGIN)) + BEGIN + words + text.slice(text.indexOf(END));
}
