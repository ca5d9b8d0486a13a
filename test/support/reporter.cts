/** mocha's spec reporter, then each skip with its reason, then the line that CI reads. */
import Mocha = require('mocha');
import fs = require('node:fs');

const { EVENT_RUN_END } = Mocha.Runner.constants;

class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(EVENT_RUN_END, () => {
      const { passes = 0, failures = 0, pending = 0 } = runner.stats ?? {};
      const reasons = process.env['HOSTLER_TEST_SKIPS'] ?? '';
      const text = reasons !== '' && fs.existsSync(reasons) ? fs.readFileSync(reasons, 'utf8') : '';
      if (pending > 0) process.stdout.write(`Skipped:\n${text === '' ? '  (no reason recorded)\n' : text}`);
      const skipped = pending > 0 ? `, ${String(pending)} skipped` : '';
      process.stdout.write(`\n${String(passes)} passed, ${String(failures)} failed${skipped}\n`);
    });
  }
}

export = Reporter;
