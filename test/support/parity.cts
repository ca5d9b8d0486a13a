/** Prints the README's table of the old module's functions with what the tests of each row say. */
import Mocha = require('mocha');
import fs = require('node:fs');
import path = require('node:path');

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PASS, EVENT_TEST_PENDING } = Mocha.Runner.constants;

interface Row {
  readonly number: number;
  readonly name: string;
  readonly rpc: string;
  /** What the README says: `works`, or what is pending. */
  readonly promise: string;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

class Parity extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner) {
    super(runner);
    const counts = new Map<number, Counts>();
    const count = (test: Mocha.Test, kind: keyof Counts) => {
      for (const row of rowsOf(test)) {
        const of = counts.get(row) ?? { passed: 0, failed: 0, skipped: 0 };
        of[kind] += 1;
        counts.set(row, of);
      }
    };
    runner.on(EVENT_TEST_PASS, (test: Mocha.Test) => count(test, 'passed'));
    runner.on(EVENT_TEST_PENDING, (test: Mocha.Test) => count(test, 'skipped'));
    runner.on(EVENT_TEST_FAIL, (test: Mocha.Test, error: Error) => {
      count(test, 'failed');
      process.stdout.write(`${test.fullTitle()}\n  ${error.message}\n`);
    });
    runner.once(EVENT_RUN_END, () => {
      for (const row of readRows()) process.stdout.write(`${describe(row, counts.get(row.number))}\n`);
    });
  }
}

/** `parity row 1: …`, `parity rows 18 and 19: …`. */
function rowsOf(test: Mocha.Test): number[] {
  return [...test.title.matchAll(/parity rows? ([\d, and]+):/g)].flatMap(([, list = '']) =>
    (list.match(/\d+/g) ?? []).map(Number),
  );
}

function readRows(): Row[] {
  const text = fs.readFileSync(path.join(__dirname, '../../../README.md'), 'utf8');
  return [...text.matchAll(/^\| (\d+) +\| `(\w+)` +\| (.+?) +\| (.+?) +\|$/gm)].map(
    ([, number = '', name = '', rpc = '', promise = '']) => ({
      number: Number(number),
      name,
      rpc: rpc.replaceAll('`', ''),
      promise,
    }),
  );
}

function describe({ number, name, rpc, promise }: Row, counts: Counts | undefined): string {
  const { passed, failed, skipped } = counts ?? { passed: 0, failed: 0, skipped: 0 };
  const tests = `${String(passed)} passed${skipped > 0 ? `, ${String(skipped)} skipped` : ''}`;
  let verdict = failed > 0 ? `FAIL (${String(failed)} failed, ${tests})` : `pass (${tests})`;
  if (failed === 0 && promise.includes('pending')) verdict = passed > 0 ? `${promise} (${tests})` : promise;
  else if (passed + failed === 0) verdict = 'FAIL (no test ran)';
  if (verdict.startsWith('FAIL')) process.exitCode = 1;
  return `${String(number).padStart(2)}  ${name.padEnd(33)} ${rpc.padEnd(45)} ${verdict}`;
}

export = Parity;
