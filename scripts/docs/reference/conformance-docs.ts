/** Prints docs/reference/conformance.md: every case of the conformance suite. */
import { CASES } from '../../../conformance/catalogue.js';

const text = (raw: string) => raw.replace(/[*_<|\\]/g, '\\$&');

const subjects = [...Map.groupBy(CASES, ({ subject }) => subject)].map(([subject, cases]) => {
  const lines = cases.map(({ name, needs }) => `| ${text(name)} | ${needs.map((need) => need.name).join('; ')} |`);
  return `## ${subject}\n\n| what is shown | needs |\n| --- | --- |\n${lines.join('\n')}\n`;
});

process.stdout.write(`# The cases of the conformance suite

What \`hostler-conformance\` looks at, one line a case: ${String(CASES.length)} of them. A case that needs what is
not there is skipped, and the table says why. [conformance.md](../conformance.md) says how to run
it. This file is generated from \`conformance/cases\`.

${subjects.join('\n')}`);
