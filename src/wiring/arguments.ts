import { parseArgs } from 'node:util';

const DEFAULT_CONFIG = '/etc/hostler/hostler.toml';
const USAGE = `usage: hostlerd [--config FILE] [--check-config | --show-config | --doctor [--json] | --version |\n                --list-folders | --remove-folders-of AGENT [--force]]\n`;

/** The daemon was called with unknown arguments. */
export class ArgumentsError extends Error {
  override readonly name = 'UsageError';
}

/** The usage, and each option. */
export const HELP = `${USAGE}
Serves the disk images of this host over gRPC, in the foreground, until SIGTERM. The log is on standard
output: one JSON object a line.

  --config FILE              the configuration; ${DEFAULT_CONFIG} if it is not given
  --check-config             name everything that would stop the start, and end
  --show-config              print the configuration with all defaults, and end
  --doctor                   look for what is wrong with this host, and end; --json for programs
  --list-folders             list the private folders of all agents in the roots, and end
  --remove-folders-of AGENT  remove those of an agent that is gone, and end; --force where nobody can
                             tell whether it is gone
  --version                  print the version, and end

The exit code is 0 after SIGTERM, and where nothing is wrong; otherwise 1.
`;

/** What the daemon does instead of serving: one at most. */
const INSTEAD = ['check-config', 'show-config', 'doctor', 'list-folders', 'remove-folders-of', 'version', 'help'];
/** Options that go with one of them. */
const GOES_WITH = { json: 'doctor', force: 'remove-folders-of' };

/** The arguments of the command line. Fails with UsageError. */
export function parseArguments() {
  const values = parseWords();
  const given = Object.keys(values);
  const [first, second] = INSTEAD.filter((name) => given.includes(name));
  if (first !== undefined && second !== undefined) throw wrong(`--${first} and --${second} do not go together`);
  for (const [name, owner] of Object.entries(GOES_WITH))
    if (given.includes(name) && !given.includes(owner)) throw wrong(`--${name} goes with --${owner}`);
  return { ...values, isServing: first === undefined };
}

function wrong(what: string): ArgumentsError {
  return new ArgumentsError(`${what}\n${USAGE.trim()}`);
}

function parseWords() {
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
    throw wrong(error instanceof Error ? error.message : String(error));
  }
}
