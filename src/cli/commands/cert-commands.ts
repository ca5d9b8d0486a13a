import { Command, Option } from 'commander';
import type { CertificateKind, CertificateOrder } from '../../protocol/certificate-authority.js';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';

interface IssueFlags extends Omit<CertificateOrder, 'name' | 'kind'> {
  readonly kind: CertificateKind;
}

const AUTHORITY_DAYS = 3650;
const CERTIFICATE_DAYS = 365;

/** `hostler cert …`: certificates for tests, without a daemon. */
export function certCommands(context: Context): Command[] {
  const show = (paths: readonly string[]) => {
    context.printObject({ files: paths }, paths.join('\n'));
  };
  return [init(show), issue(show)];
}

/** Loaded on demand: it is larger than what any other command needs. */
const authority = () => import('../../protocol/certificate-authority.js');

type Show = (paths: readonly string[]) => void;

function init(show: Show): Command {
  return new Command('init')
    .description('make an authority, ca.pem and ca.key, in a folder')
    .argument('<folder>')
    .option('--days <days>', 'how long it is valid', wholeNumber, AUTHORITY_DAYS)
    .action(async (folder: string, { days }: { days: number }) => {
      show(await (await authority()).initAuthority(folder, days));
    });
}

function issue(show: Show): Command {
  return new Command('issue')
    .description("make NAME.pem and NAME.key, signed by the folder's authority")
    .argument('<folder>')
    .argument('<name>', 'name of the files, and the common name')
    .addOption(
      new Option('--kind <kind>', 'server: a daemon; agent: a daemon that also calls others; client: a caller')
        .choices(['server', 'agent', 'client'])
        .makeOptionMandatory(),
    )
    .option('--dns <name>', 'a DNS name of it; may be repeated', collect, [])
    .option('--ip <address>', 'an address of it; may be repeated', collect, [])
    .option('--uri <uri>', 'a URI that names it; may be repeated', collect, [])
    .option('--days <days>', 'how long it is valid', wholeNumber, CERTIFICATE_DAYS)
    .action(async (folder: string, name: string, { kind, ...rest }: IssueFlags) => {
      if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) throw new UsageError(`${name}: letters, digits, dots and dashes only`);
      if (kind !== 'client' && rest.dns.length + rest.ip.length === 0)
        throw new UsageError(`a ${kind} needs --dns or --ip: its callers check the name that they dialled`);
      show(await (await authority()).issueCertificate(folder, { name, kind, ...rest }));
    });
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`${text}: must be a whole number of days`);
  return Number(text);
}
