/** mocha's spec reporter, then each skip with its reason, then the line that CI reads. */
import Mocha = require('mocha');
import fs = require('node:fs');

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_RETRY } = Mocha.Runner.constants;
/** What tests leave open may hold the process for ever; it gets this long. */
const PATIENCE_MS = 30_000;

class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const again: string[] = [];
    // Beside others a test may fail that passes when it runs again; it is named, so that nobody
    // takes it for sound.
    runner.on(EVENT_TEST_RETRY, (test: Mocha.Test, error: Error) => {
      again.push(`  ${test.fullTitle()}: ${error.message.slice(0, 300).replaceAll('\n', ' ')}\n`);
    });
    const failed: string[] = [];
    runner.on(EVENT_TEST_FAIL, (test: Mocha.Test, error: Error) => {
      const file = test.file?.split('/').at(-1) ?? test.parent?.title ?? '';
      failed.push(`${file} ${test.title.slice(0, 40)}: ${error.message.slice(0, 80).replaceAll('\n', ' ')}`);
    });
    runner.once(EVENT_RUN_END, () => {
      const { passes = 0, failures = 0, pending = 0 } = runner.stats ?? {};
      const reasons = `${process.env['HOSTLER_RUN'] ?? ''}/skips`;
      const text = fs.existsSync(reasons) ? fs.readFileSync(reasons, 'utf8') : '';
      if (pending > 0) process.stdout.write(`Skipped:\n${text === '' ? '  (no reason recorded)\n' : text}`);
      if (again.length > 0) process.stdout.write(`Failed at first, and ran again:\n${again.join('')}`);
      process.stdout.write(inShort(failed));
      const [passed, lost, left] = sums([passes, failures, pending]);
      const skipped = left > 0 ? `, ${String(left)} skipped` : '';
      process.stdout.write(`\n${String(passed)} passed, ${String(lost)} failed${skipped}\n`);
      setTimeout(() => {
        process.stderr.write(`The run was ended: it was held open by ${process.getActiveResourcesInfo().join(', ')}\n`);
        process.exit(Math.min(failures, 255));
      }, PATIENCE_MS).unref();
    });
  }
}

/**
 * What has failed in this run until now, a line for each file with its count and its first failure:
 * of a long output often the end alone is at hand.
 */
function inShort(failed: readonly string[]): string {
  const folder = process.env['HOSTLER_RUN'] ?? '';
  const file = `${folder}/failed`;
  const earlier = folder !== '' && fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  const all = [...earlier, ...failed];
  if (folder !== '') fs.writeFileSync(file, all.map((line) => `${line}\n`).join(''));
  const byFile = Object.entries(Object.groupBy(all, (line) => line.slice(0, line.indexOf(' '))));
  const lines = byFile.map(([, these = []]) => `  ${String(these.length)} in ${these[0] ?? ''}\n`);
  return lines.length === 0 ? '' : `Failed:\n${lines.join('')}`;
}

/**
 * With those of the suites that ran before this one, whose counts stand in a file: CI reads one
 * line.
 */
function sums(counts: readonly [number, number, number]): readonly [number, number, number] {
  const file = process.env['HOSTLER_TEST_COUNTS'] ?? '';
  if (file === '') return counts;
  const earlier = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split(' ').map(Number) : [];
  const [passed, failed, skipped] = counts.map((count, at) => count + (earlier[at] ?? 0));
  const all = [passed ?? 0, failed ?? 0, skipped ?? 0] as const;
  fs.writeFileSync(file, all.join(' '));
  return all;
}

export = Reporter;
