/** `hostlerd --doctor`: examines this host as a daemon with this configuration would find it. */
import type { Config } from '../../adapters/config/config.js';
import { loadConfig } from '../load-config.js';
import { problemsOf } from '../check-config.js';
import { problem, textOf, type HostFinding } from './finding.js';
import { certificateFindings, clockFinding, limitFindings, rootFindings } from './host.js';
import { quietRunner } from './quiet-runner.js';
import { sandboxFinding, toolFindings } from './tools.js';

/**
 * Prints its findings, as lines or as one JSON object, and returns whether there is no problem.
 * Needs no daemon, and changes nothing: its test files in roots are removed.
 */
export async function examine(config: Config, file: string, asJson: boolean): Promise<boolean> {
  const findings = await findingsOf(config, file);
  const problems = findings.filter(({ state }) => state === 'problem').length;
  process.stdout.write(asJson ? `${JSON.stringify({ problems, findings })}\n` : textOf(findings));
  return problems === 0;
}

/** The same for a configuration file. Fails with ConfigError, OwnFileError. */
export async function examineFile(file: string, asJson: boolean): Promise<boolean> {
  return examine(await loadConfig(file), file, asJson);
}

async function findingsOf(config: Config, file: string): Promise<HostFinding[]> {
  const runner = quietRunner(config);
  const all = await Promise.all([
    problemsOf(config, runner).then((texts) =>
      texts.map((text) => problem('config', text, `put it right on the host, or in ${file}`)),
    ),
    toolFindings(config, runner),
    sandboxFinding(config, quietRunner(config, true)),
    rootFindings(config, runner),
    limitFindings(config),
    clockFinding(runner),
    certificateFindings(config),
  ]);
  return all.flat();
}
