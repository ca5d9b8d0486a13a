import type { ImageAddress } from '../../domain/model/address.js';
import type { FarPart, RsyncCounts, RsyncOptions, RsyncTool, SshHost } from '../../domain/copy/remote.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { ProcessRunner } from '../process/process.js';
import { farError, shellWord, sshWords } from './ssh.js';
import type { Arg, ToolLimits } from '../process/tool-call.js';
import type { SshConfig } from '../config/transfer-config.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Exit codes of rsync that are more specific than its messages. */
const VANISHED = 24;
const TIMEOUTS = [30, 35];
const KIB = 1024n;
/** rsync's message when a file would exceed its length limit. */
const TOO_LONG = /File too large/;

interface RunOptions {
  readonly onBytes?: (bytes: bigint) => void;
  readonly stdin?: Uint8Array;
  /** The maximum length of files that it writes. */
  readonly mostBytes?: bigint;
}

/**
 * Copies files by rsync over ssh: both sides read every byte, including holes; data of an earlier
 * attempt is reused.
 */
export class Rsync implements RsyncTool {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly config: SshConfig,
    private readonly limits: ToolLimits,
  ) {}

  async receive(
    host: SshHost,
    source: ImageAddress,
    folder: FileRef,
    options: RsyncOptions & { readonly mostBytes: bigint },
    tool: ToolRun,
    onBytes: (bytes: bigint) => void,
  ): Promise<RsyncCounts> {
    const args = [...copyArgs(this.config, host, options), ...receiveArgs(host, folder)];
    const { mostBytes } = options;
    return (await this.#run(args, host, tool, { onBytes, stdin: namesOf(source), mostBytes })).counts;
  }

  async send(
    source: FileRef,
    part: FarPart,
    options: RsyncOptions,
    tool: ToolRun,
    onBytes: (bytes: bigint) => void,
  ): Promise<RsyncCounts> {
    const args = [...copyArgs(this.config, part.host, options), ...sendArgs(source, part)];
    return (await this.#run(args, part.host, tool, { onBytes })).counts;
  }

  async sameReceived(host: SshHost, source: ImageAddress, folder: FileRef, tool: ToolRun): Promise<boolean> {
    const args = [...compareArgs(this.config, host), ...receiveArgs(host, folder)];
    return !(await this.#run(args, host, tool, { stdin: namesOf(source) })).differs;
  }

  async sameSent(source: FileRef, part: FarPart, tool: ToolRun): Promise<boolean> {
    const args = [...compareArgs(this.config, part.host), ...sendArgs(source, part)];
    return !(await this.#run(args, part.host, tool)).differs;
  }

  async #run(
    args: readonly Arg[],
    host: SshHost,
    tool: ToolRun,
    { onBytes, stdin, mostBytes }: RunOptions = {},
  ): Promise<{ readonly counts: RsyncCounts; readonly differs: boolean }> {
    let [literalBytes, differs] = [0n, false];
    const call = {
      tool: 'rsync',
      args,
      trusted: true,
      silent: true,
      limits: mostBytes === undefined ? this.limits : { ...this.limits, fileBytes: mostBytes },
      ...(stdin === undefined ? {} : { stdin }),
    };
    const { code, succeeded, stderr } = await this.runner.lines(call, tool, (line) => {
      const done = parseProgress(line);
      if (done !== undefined) onBytes?.(done);
      literalBytes = parseLiteral(line) ?? literalBytes;
      differs ||= isDifference(line);
    });
    if (succeeded) return { counts: { literalBytes }, differs };
    if (code === VANISHED)
      throw new HostlerError('SOURCE_CHANGED', 'the source vanished while it was read', { facts: { stderr } });
    if (mostBytes !== undefined && TOO_LONG.test(stderr))
      throw new HostlerError(
        'SOURCE_CHANGED',
        `${host.host} sent more than the ${String(mostBytes)} bytes of the source`,
        {
          facts: { host: host.host, length: String(mostBytes), stderr },
        },
      );
    if (code !== undefined && TIMEOUTS.includes(code)) throw farError('rsync', host, `timed out\n${stderr}`, code);
    throw farError('rsync', host, stderr, code);
  }
}

/** Common options of every copy: exact, sparse, with progress, without reuse under other names. */
export function copyArgs(config: SshConfig, host: SshHost, { compress, bytesPerSecond }: RsyncOptions): Arg[] {
  return [
    '--sparse',
    '--partial',
    '--info=progress2,stats2',
    '--no-human-readable',
    // Data of an earlier attempt may by chance have the source's length and time.
    '--ignore-times',
    ...common(config, host),
    // Each side offers its algorithms, best first: zstd if both have it.
    ...(compress ? ['--compress'] : []),
    ...(bytesPerSecond === undefined ? [] : [`--bwlimit=${String((bytesPerSecond + KIB - 1n) / KIB)}`]),
  ];
}

/**
 * rsync's options for a comparison by checksum that changes nothing; it prints a line for each file
 * that differs.
 */
export function compareArgs(config: SshConfig, host: SshHost): Arg[] {
  return ['--dry-run', '--checksum', '--itemize-changes', ...common(config, host)];
}

function common(config: SshConfig, host: SshHost): Arg[] {
  const rsh = sshWords(config, { ...host, ...(host.user === undefined ? {} : { user: host.user }) });
  return ['--copy-links', `--timeout=${String(config.deadLineSeconds * 2)}`, '-e', rsh.map(rshWord).join(' ')];
}

/**
 * The source's name is passed in a NUL-separated list on standard input: no shell and no pattern
 * interprets it, in any version.
 */
function receiveArgs({ host }: SshHost, folder: FileRef): Arg[] {
  return ['--from0', '--files-from=-', '--no-relative', '--', `${hostWord(host)}:/`, [{ write: folder }, '/']];
}

function namesOf(source: ImageAddress): Uint8Array {
  return Buffer.from(`${source.slice(1)}\0`);
}

/**
 * The remote rsync is started in the private folder, so that it gets only names that the daemon
 * chose.
 */
function sendArgs(source: FileRef, { host: { host }, folder }: FarPart): Arg[] {
  const farRsync = `cd ${shellWord(folder)} && exec rsync`;
  return [`--rsync-path=${farRsync}`, '--', [{ read: source }], `${hostWord(host)}:part`];
}

/** IPv6 addresses are in brackets: their colons would end the host. */
export function hostWord(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** rsync splits the value of `-e` at spaces, except in quotes; a quote is doubled. */
export function rshWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "''")}'`;
}

/** `      1,238,099  12%  1.2MB/s    0:00:01 (xfr#1, to-chk=0/1)`: bytes done. */
export function parseProgress(line: string): bigint | undefined {
  const digits = /^\s*([\d,.]+)\s+\d{1,3}%\s/.exec(line)?.[1];
  return digits === undefined ? undefined : BigInt(digits.replaceAll(/[,.]/g, ''));
}

function parseLiteral(line: string): bigint | undefined {
  const digits = /^Literal data: ([\d,.]+) bytes/.exec(line)?.[1];
  return digits === undefined ? undefined : BigInt(digits.replaceAll(/[,.]/g, ''));
}

/** `<fcst...... part`: sent or received, with other content or size. */
function isDifference(line: string): boolean {
  return /^[<>c]f/.test(line) && (/^..[c+]/.test(line) || /^...s/.test(line));
}
