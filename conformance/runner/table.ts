/** The table that people read, at most 80 columns wide. */
import type { Outcome } from './run-cases.js';

const COLUMNS = 80;
const WORDS = { passed: 'pass', failed: 'FAIL', skipped: 'skip' };
/** As wide as the verdict and the time before the name. */
const MARGIN = ' '.repeat(15);

/** The lines of one outcome, after those of `before`. */
export function row({ case: { name, subject }, verdict, why, seconds }: Outcome, before?: Outcome): string {
  const head = before?.case.subject === subject ? [] : [`${before === undefined ? '' : '\n'}${subject}`];
  const time = verdict === 'skipped' ? '' : `${seconds.toFixed(2)} s`;
  const first = `  ${WORDS[verdict]} ${time.padStart(7)} `;
  const reasons = why === '' ? [] : why.split('\n').flatMap((line) => wrap(line, '  '));
  const [title = '', ...more] = wrap(name);
  return [...head, `${first}${title}`, ...[...more, ...reasons].map((line) => MARGIN + line)].join('\n');
}

/** The last line. */
export function total(outcomes: readonly Outcome[]): string {
  const count = (verdict: Outcome['verdict']) => String(outcomes.filter((each) => each.verdict === verdict).length);
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}

function wrap(text: string, indent = ''): string[] {
  const room = COLUMNS - MARGIN.length - indent.length;
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > room) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => indent + line);
}
