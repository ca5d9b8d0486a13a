import { Command } from 'commander';
import type { Context } from './context.js';

const DEFAULT_CONFIG = '/etc/hostler/hostler.toml';

/** Prints the problems of this host for a daemon; returns whether there are none. */
export type Doctor = (config: string, asJson: boolean) => Promise<boolean>;

/** `hostler doctor`: examines this host itself, without a daemon. */
export function doctorCommand(context: Context, doctor: Doctor): Command {
  return new Command('doctor')
    .description('look for what is wrong with this host for a daemon: tools, sandbox, roots, limits, clock, TLS')
    .option('--config <file>', 'the configuration of the daemon', DEFAULT_CONFIG)
    .action(async ({ config }: { config: string }) => {
      if (!(await doctor(config, context.json))) process.exitCode = 1;
    });
}
