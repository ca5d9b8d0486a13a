/** How ssh is called, and the meaning of its failures. */
import { isHost } from '../../domain/access/role.js';
import type { SshHost } from '../../domain/copy/remote.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { SshConfig } from '../config/transfer-config.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

/** Whether images of this host are trusted, judged by the name in the request. */
export function isTrusted({ trustedHosts }: SshConfig, { host }: SshHost): boolean {
  return trustedHosts.some((pattern) => isHost(host, { host: pattern }));
}

const ALIVE_COUNT = 3;

/** ssh with its options, without the host. */
export function sshWords(config: SshConfig, { port, user = config.user }: SshHost): string[] {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: config.hostKeys === 'known' ? 'yes' : 'accept-new',
    ConnectTimeout: String(config.connectTimeoutSeconds),
    ServerAliveInterval: String(Math.max(1, Math.floor(config.deadLineSeconds / ALIVE_COUNT))),
    ServerAliveCountMax: String(ALIVE_COUNT),
    ForwardAgent: 'no',
    ForwardX11: 'no',
    PermitLocalCommand: 'no',
    // The preferred cipher: twice as fast as ssh's default on every processor that runs guests.
    ...(config.configFile === undefined ? { Ciphers: '^aes128-gcm@openssh.com' } : {}),
    ...(config.knownHostsFile === undefined ? {} : { UserKnownHostsFile: quoted(config.knownHostsFile) }),
    ...(config.identityFile === undefined ? {} : { IdentityFile: quoted(config.identityFile), IdentitiesOnly: 'yes' }),
  };
  return [
    'ssh',
    '-F',
    config.configFile ?? 'none',
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
  ];
}

/** ssh splits the value of an option at spaces. */
function quoted(path: string): string {
  return `"${path}"`;
}

/** Quotes a word for a POSIX shell, so that no character has a special meaning. */
export function shellWord(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command that runs a script under any login shell of the remote host. */
export function farCommand(script: string): string {
  return `exec /bin/sh -c ${shellWord(script)}`;
}

/** The first match counts: specific messages come before their consequences. */
const MEANINGS: readonly (readonly [RegExp, Reason, string])[] = [
  [
    /Host key verification failed|REMOTE HOST IDENTIFICATION|host key is known/,
    'REMOTE_NOT_TRUSTED',
    'its host key is not the one that is known',
  ],
  [/Permission denied \(|Too many authentication failures/, 'REMOTE_REFUSED', 'it refuses the login of this host'],
  // A remote process that ended because its disk was full also closes the connection.
  [/No space left on device|Disk quota exceeded/, 'NO_SPACE', 'there is no space left'],
  [/File too large/, 'UNSUPPORTED_BY_BACKEND', 'its filesystem has no files of that length'],
  [/Read-only file system/, 'ROOT_READ_ONLY', 'the filesystem is read-only'],
  [/Input\/output error/, 'IO_ERROR', 'a disk failed'],
  [
    /Could not resolve|Connection refused|timed out|Timeout|No route to host|unreachable|[Cc]onnection (?:unexpectedly )?closed|Connection reset|Broken pipe|send disconnect|lost connection/,
    'REMOTE_UNREACHABLE',
    'it cannot be reached, or the connection broke',
  ],
  [/rsync: (?:command )?not found|rsync: No such file|not found.*rsync|exec: rsync/, 'TOOL_MISSING', 'it has no rsync'],
  [/Permission denied|Operation not permitted/, 'ACCESS_DENIED', 'the system refuses access'],
  [/No such file or directory/, 'IMAGE_NOT_FOUND', 'there is no such file'],
];

/**
 * The error of a connection to a remote host, by the messages of ssh and of the tool that runs over
 * it.
 */
export function farError(tool: string, { host }: SshHost, stderr: string, code: number | undefined): HostlerError {
  const facts = { host, tool, stderr, code: String(code) };
  const found = MEANINGS.find(([pattern]) => pattern.test(stderr));
  if (found === undefined) {
    const last = stderr.split('\n').at(-1) ?? '';
    return new HostlerError('TOOL_FAILED', `${tool} to ${host} failed: ${last}`, { facts });
  }
  const [, reason, text] = found;
  return new HostlerError(reason, `${host}: ${text}`, { facts });
}
