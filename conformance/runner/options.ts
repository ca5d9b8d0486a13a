/** The command line. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Access, TlsFiles } from '../agent/connect.js';

export interface Options {
  readonly access: Access;
  /** Unset: there is no second caller. */
  readonly second: Access | undefined;
  readonly root: string;
  readonly only: RegExp | undefined;
  readonly junit: string | undefined;
  readonly restartCommand: string | undefined;
  readonly list: boolean;
  /** So many cases run at a time. */
  readonly jobs: number;
}

interface Flags {
  readonly address: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly secondAddress?: string;
  readonly secondTlsCert?: string;
  readonly secondTlsKey?: string;
  readonly root?: string;
  readonly only?: RegExp;
  readonly junit?: string;
  readonly restartCommand?: string;
  readonly list?: true;
  readonly jobs: number;
}

const DEFAULT_ADDRESS = 'unix:///run/hostler/hostler.sock';

/** Options that cannot be used together. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Fails with UsageError, or with CommanderError, which has printed what is wrong. */
export function parseOptions(words: readonly string[]): Options {
  const flags = command()
    .parse([...words], { from: 'user' })
    .opts<Flags>();
  const { address, secondAddress, secondTlsCert, secondTlsKey, root, only, junit, restartCommand, jobs } = flags;
  if (root === undefined && flags.list === undefined) throw new UsageError('--root is required');
  const tls = tlsOf('--tls-ca, --tls-cert and --tls-key', flags.tlsCa, flags.tlsCert, flags.tlsKey);
  const hasSecond = (secondAddress ?? secondTlsCert ?? secondTlsKey) !== undefined;
  const ca = secondTlsCert === undefined && secondTlsKey === undefined ? undefined : flags.tlsCa;
  const secondTls = tlsOf('--tls-ca, --second-tls-cert and --second-tls-key', ca, secondTlsCert, secondTlsKey);
  return {
    access: accessOf(address, tls),
    second: hasSecond ? accessOf(secondAddress ?? address, secondTls) : undefined,
    root: root?.replace(/(?<=.)\/$/, '') ?? '',
    list: flags.list ?? false,
    ...{ only, junit, restartCommand, jobs },
  };
}

function command(): Command {
  return new Command('hostler-conformance')
    .description('Runs the conformance suite against an agent. It works in one folder and leaves nothing.')
    .addOption(
      fromEnv('--address <address>', 'unix:///PATH or tcp://HOST:PORT', 'HOSTLER_ADDRESS').default(DEFAULT_ADDRESS),
    )
    .addOption(fromEnv('--tls-ca <file>', 'mutual TLS: the authority of the agent', 'HOSTLER_TLS_CA'))
    .addOption(fromEnv('--tls-cert <file>', 'mutual TLS: the own certificate', 'HOSTLER_TLS_CERT'))
    .addOption(fromEnv('--tls-key <file>', 'mutual TLS: its key', 'HOSTLER_TLS_KEY'))
    .option('--root <path>', 'a root of the agent, or a folder in one; the suite makes a folder there')
    .option('--second-address <address>', 'where a caller who may only look is served; unset: as --address')
    .option('--second-tls-cert <file>', 'certificate of a caller who may only look')
    .option('--second-tls-key <file>', 'its key')
    .option('--restart-command <command>', 'kills the agent and starts it again, for the cases of crashes')
    .option('--only <regexp>', 'only cases whose subject and name match, as `images: …`', regularExpression)
    .option('--jobs <n>', 'so many cases run at a time', count, 4)
    .option('--junit <file>', 'also write the outcomes as JUnit XML')
    .option('--list', 'print the cases, and run none')
    .addHelpText('after', '\nExit codes: 0 all passed, 1 some failed, 2 wrong usage, 7 no answer from the agent.')
    .exitOverride();
}

function fromEnv(flags: string, description: string, variable: string): Option {
  return new Option(flags, description).env(variable);
}

function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError('must be a regular expression');
  }
}

function count(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('must be a number from 1 to 99');
  return Number(text);
}

/** All three files or none. */
function tlsOf(names: string, ca?: string, cert?: string, key?: string): TlsFiles | undefined {
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, own: { cert, key } };
  if ((ca ?? cert ?? key) === undefined) return undefined;
  throw new UsageError(`${names} go together`);
}

function accessOf(address: string, tls: TlsFiles | undefined): Access {
  return { address, ...(tls === undefined ? {} : { tls }) };
}
