import { Command, Option } from 'commander';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';
import { EXIT } from '../help/exit-codes.js';
import { collectLabel } from '../options.js';
import { table } from '../text.js';

export interface AuthQuestion {
  readonly config: string;
  readonly as: string;
  readonly method: string;
  readonly paths: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly command?: string;
  readonly farEnd?: string;
  readonly farSide: string;
  readonly farAgent: boolean;
  readonly farUser?: string;
}

export interface AuthVerdict {
  readonly allowed: boolean;
  readonly identity: string;
  readonly roles: readonly string[];
  readonly rpc: string;
  /** Each address of the request, the access that it needs, and the path of the question. */
  readonly places: readonly { readonly field: string; readonly need: 'read' | 'write'; readonly address: string }[];
  readonly why: string;
  /** The objection of each role. */
  readonly objections: readonly { readonly role: string; readonly why: string }[];
}

interface Flags {
  readonly as: string;
  readonly config: string;
  readonly label: Readonly<Record<string, string>>;
  readonly command?: string;
  readonly farEnd?: string;
  readonly farSide: string;
  readonly farAgent?: true;
  readonly farUser?: string;
}

/** `hostler auth …`: reads the configuration, without a daemon. */
export function authCommands(
  context: Context,
  check: (question: AuthQuestion) => Promise<AuthVerdict | undefined>,
): Command[] {
  return [
    new Command('check')
      .description('whether a caller may call an RPC with these paths, and why; exit code 4: it may not')
      .argument('<method>', 'CopyImage or ImageService/CopyImage')
      .argument('[path...]', 'one for all addresses of the request, or one for each in their order')
      .requiredOption('--as <name>', 'uri:…, dns:… or cn:… of a certificate; local, loopback or unix:/PATH for others')
      .option('--config <file>', "the daemon's configuration", '/etc/hostler/hostler.toml')
      .option('--label <key=value>', 'of the operation; may be repeated', collectLabel, {})
      .option('--command <name>', 'for Execute')
      .option('--far-end <host>', 'for CopyImage and OpenExport')
      .option('--far-user <user>', 'the login that the request names')
      .option('--far-agent', 'the far end is asked by its agent, not by ssh')
      .addOption(
        new Option('--far-side <side>', 'which address of CopyImage is at the far end')
          .choices(['source', 'target'])
          .default('target'),
      )
      .action(async (method: string, paths: string[], { label: labels, ...flags }: Flags) => {
        const verdict = await check({ method, paths, labels, ...flags, farAgent: flags.farAgent === true });
        if (verdict === undefined) throw new UsageError(`there is no RPC ${method}`);
        context.printObject(verdict, show(verdict));
        if (!verdict.allowed) process.exitCode = EXIT.refused;
      }),
  ];
}

function show({ allowed, identity, roles, rpc, places, why, objections }: AuthVerdict): string {
  const asked = places.map(({ field, need, address }) => [field, need, address]);
  return [
    `${allowed ? 'yes' : 'no'}: ${identity} (${roles.length === 0 ? 'no role' : roles.join(', ')}) ${allowed ? 'may' : 'may not'} ${rpc}`,
    why,
    ...objections.map((objection) => `  ${objection.role}: ${objection.why}`),
    ...(asked.length === 0 ? [] : [table(['FIELD', 'TO', 'PATH'], asked)]),
  ].join('\n');
}
