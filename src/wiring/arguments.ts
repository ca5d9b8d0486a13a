import { parseArgs } from 'node:util';

const DEFAULT_CONFIG = '/etc/hostler/hostler.toml';
export const USAGE = `usage: hostlerd [--config FILE] [--check-config | --show-config | --doctor [--json] | --version |\n                --list-folders | --remove-folders-of AGENT [--force]]\n`;

/** The daemon was called with unknown arguments. */
export class ArgumentsError extends Error {
  override readonly name = 'UsageError';
}

/** The arguments of the command line. Fails with UsageError. */
export function parseArguments() {
  try {
    return parseArgs({
      options: {
        config: { type: 'string', default: DEFAULT_CONFIG },
        'check-config': { type: 'boolean' },
        'show-config': { type: 'boolean' },
        doctor: { type: 'boolean' },
        json: { type: 'boolean' },
        'list-folders': { type: 'boolean' },
        'remove-folders-of': { type: 'string' },
        force: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new ArgumentsError(`${error instanceof Error ? error.message : String(error)}\n${USAGE.trim()}`);
  }
}
