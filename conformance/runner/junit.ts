/** The outcomes as JUnit XML, which most CI systems read. */
import type { Outcome } from './run-cases.js';

/** A whole document: a suite for each subject. */
export function junit(outcomes: readonly Outcome[]): string {
  const suites = [...Map.groupBy(outcomes, (each) => each.case.subject)].map(
    ([subject, those]) =>
      `  <testsuite ${attributes(subject, those)}>\n${those.map(testcase).join('')}  </testsuite>\n`,
  );
  const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
  return `${head}<testsuites ${attributes('hostler-conformance', outcomes)}>\n${suites.join('')}</testsuites>\n`;
}

function attributes(name: string, outcomes: readonly Outcome[]): string {
  const count = (verdict: Outcome['verdict']) => String(outcomes.filter((each) => each.verdict === verdict).length);
  const time = outcomes.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(3);
  return `name="${text(name)}" tests="${String(outcomes.length)}" failures="${count('failed')}" skipped="${count('skipped')}" time="${time}"`;
}

function testcase({ case: { name, subject }, verdict, why, seconds }: Outcome): string {
  const head = `    <testcase classname="${text(subject)}" name="${text(name)}" time="${seconds.toFixed(3)}"`;
  if (verdict === 'passed') return `${head}/>\n`;
  const inner = verdict === 'failed' ? `<failure message="${text(why)}"/>` : `<skipped message="${text(why)}"/>`;
  return `${head}>${inner}</testcase>\n`;
}

/** What XML 1.0 has no place for becomes a replacement character. */
function text(raw: string): string {
  return raw
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/[&<>"\n]/g, (each) => `&#${String(each.charCodeAt(0))};`);
}
