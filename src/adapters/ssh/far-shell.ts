import { createHash, randomUUID } from 'node:crypto';
import type { PathScope } from '../../domain/access/path-scope.js';
import type { Places } from '../../domain/access/role.js';
import { dirname, type ImageAddress } from '../../domain/model/address.js';
import type {
  FarAttributes,
  FarFile,
  FarPart,
  FarPublished,
  FarShell,
  FarTools,
  SshHost,
} from '../../domain/copy/remote.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { ProcessRunner } from '../process/process.js';
import { answerBehind, beginLine, bytesOf, unreadable } from './answers.js';
import { keepRightsLines, lostOf } from './kept-rights.js';
import { HELD, assertNoHolder, assertNoWriter } from './held.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { farCommand, farError, isTrusted, shellWord, sshWords } from './ssh.js';
import type { SshConfig } from '../config/transfer-config.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** The paths on a remote host that the caller's role may use. */
export type FarScope = Pick<PathScope, 'farPlaces'>;

/**
 * Exit codes of the scripts for known failures. ssh's own failures exit with 255, those of a shell
 * with 126 and 127.
 */
const EXITS: Readonly<Record<number, readonly [Reason, string]>> = {
  41: ['IMAGE_NOT_FOUND', 'does not exist'],
  42: ['NOT_A_FILE', 'is no regular file'],
  43: ['PARENT_NOT_FOUND', 'lies in a folder that does not exist'],
  44: ['TARGET_EXISTS', 'exists'],
  45: ['NOT_A_FILE', 'is a folder or something else that cannot be replaced'],
  [HELD]: ['IMAGE_IN_USE', 'is held by a running guest'],
  48: ['PATH_OUTSIDE_ROOTS', "lies outside of the places of the caller's role"],
};
/** qemu-nbd is missing; qemu-nbd did not start. */
const [NO_QEMU_NBD, QEMU_NBD_FAILED] = [46, 47];
/** Mode of a new file there. */
const NEW_MODE = 0o600;
const TOOLS = 'printf "tools"; for t in rsync qemu-nbd; do command -v $t >/dev/null && printf " %s" $t; done; echo';

/** Files on remote hosts, by ssh and standard tools. */
export class SshFarShell implements FarShell {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly config: SshConfig,
    private readonly agentId: string,
    /** How long data of an interrupted send is kept for a retry. */
    private readonly keptMinutes: number,
    private readonly scope: FarScope,
  ) {}

  async look(host: SshHost, path: ImageAddress, allowInUse: boolean, tool: ToolRun): Promise<FarFile> {
    const places = this.scope.farPlaces(host, 'read');
    const answer = await this.#runScript(host, path, lookScript(path, allowInUse, places), tool);
    const [file] = parseFiles(answer);
    if (file === undefined) throw unreadable(host, answer);
    return { ...file, trusted: isTrusted(this.config, host), tools: toolsOf(answer) };
  }

  async plan(host: SshHost, target: ImageAddress, tool: ToolRun) {
    const answer = await this.#runScript(host, target, planScript(target, this.scope.farPlaces(host, 'write')), tool);
    return { tools: toolsOf(answer), freeBytes: bytesOf('free', answer, host) };
  }

  async prepare(
    host: SshHost,
    target: ImageAddress,
    { key, overwrite, needBytes }: { readonly key: string; readonly overwrite: boolean; readonly needBytes: bigint },
    tool: ToolRun,
  ) {
    const name = createHash('sha256').update(key).digest('hex').slice(0, 26);
    const parent = dirname(target);
    const folder = `${parent === '/' ? '' : parent}/${PRIVATE_PREFIX}far-${this.agentId}-${name}`;
    const part = { host, target, folder };
    const ours = `${parent === '/' ? '' : parent}/${PRIVATE_PREFIX}far-${this.agentId}-`;
    const within = withinLines(parent, this.scope.farPlaces(host, 'write'), 43);
    const script = [...within, sweepLine(ours, this.keptMinutes), prepareScript(part, overwrite)].join('; ');
    const answer = await this.#runScript(host, target, script, tool);
    const freeBytes = bytesOf('free', answer, host);
    if (freeBytes < needBytes) {
      await this.discard(part, tool);
      throw noSpaceThere(part, needBytes, freeBytes);
    }
    return { part, tools: toolsOf(answer), freeBytes };
  }

  async publish(part: FarPart, attributes: FarAttributes, overwrite: boolean, tool: ToolRun): Promise<FarPublished> {
    const answer = await this.#runScript(part.host, part.target, publishScript(part, attributes, overwrite), tool);
    return publishedOf(answer, part.host);
  }

  async discard(part: FarPart, tool: ToolRun): Promise<void> {
    await this.#runScript(part.host, part.target, `rm -rf -- ${shellWord(part.folder)}`, tool);
  }

  async #runScript(host: SshHost, path: ImageAddress, script: string, run: ToolRun): Promise<string> {
    const [tool = 'ssh', ...words] = sshWords(this.config, host);
    const mark = `hostler-${randomUUID()}`;
    const args = [...words, '--', host.host, farCommand(`export LC_ALL=C; ${beginLine(mark)}; ${script}`)];
    const { code, stdout, stderr } = await this.runner.run({ tool, args, trusted: true, limits: {} }, run);
    if (code === 0) return answerBehind(stdout, mark, host);
    throw scriptError(host, path, { code, stderr });
  }
}

/** The error of a script about a path. */
export function scriptError(
  host: SshHost,
  path: string,
  { code, stderr }: { readonly code: number | undefined; readonly stderr: string },
): HostlerError {
  const facts = { host: host.host, path };
  const known = code === undefined ? undefined : EXITS[code];
  if (known !== undefined) return new HostlerError(known[0], `${path} on ${host.host} ${known[1]}`, { facts });
  if (code === NO_QEMU_NBD)
    return new HostlerError('TOOL_MISSING', `${host.host} has no qemu-nbd`, { facts: { ...facts, tool: 'qemu-nbd' } });
  if (code === QEMU_NBD_FAILED && /Failed to get .*lock/.test(stderr))
    return new HostlerError('IMAGE_IN_USE', `${path} on ${host.host} is held by a running guest`, { facts });
  return farError(code === QEMU_NBD_FAILED ? 'qemu-nbd' : 'ssh', host, stderr, code);
}

/** NO_SPACE for a target on another host; sizes in bytes. */
export function noSpaceThere({ host: { host }, target }: FarPart, needBytes: bigint, freeBytes: bigint): HostlerError {
  return new HostlerError('NO_SPACE', `${target} needs ${String(needBytes)} bytes; ${String(freeBytes)} are free`, {
    facts: { host, path: target, needed: String(needBytes), free: String(freeBytes) },
  });
}

/** The output of the script of `publishLines` at its end. */
export function publishedOf(answer: string, host: SshHost): FarPublished {
  return { allocatedBytes: bytesOf('made', answer, host), lost: lostOf(answer) };
}

function toolsOf(answer: string): FarTools {
  const names = /^tools(.*)$/m.exec(answer)?.[1]?.split(' ') ?? [];
  return { rsync: names.includes('rsync'), qemuNbd: names.includes('qemu-nbd') };
}

/** Prints length, blocks, and values that change when the file does: device, inode, times. */
export function lookScript(path: string, allowInUse: boolean, places: Places): string {
  const unheld = allowInUse ? [] : assertNoWriter(path);
  return [...withinLines(path, places, 41), ...assertFile(path), ...unheld, lookLine(path), TOOLS].join('; ');
}

/**
 * Ends the script if the real path on the remote host lies in none of the places. `missing` is the
 * exit code if the path does not exist: a file that is read (41), or the folder of a target (43).
 */
export function withinLines(path: string, places: Places, missing: 41 | 43): string[] {
  if (places === 'all') return [];
  return [
    `r=$(readlink -f -- ${shellWord(path)}) || exit ${String(missing)}`,
    `o=; for w in ${places.map(shellWord).join(' ')}; do w=$(readlink -f -- "$w") || continue; case "\${r%/}/" in "\${w%/}"/*) o=1;; esac; done`,
    '[ -n "$o" ] || exit 48',
  ];
}

/** Lines that end the script with 41 if nothing is at the path, 42 if it is not a regular file. */
export function assertFile(path: string): string[] {
  const file = shellWord(path);
  return [`[ -e ${file} ] || exit 41`, `[ -f ${file} ] || exit 42`];
}

/**
 * A line that prints length, blocks and fingerprint of a file, for `parseFiles`. Ends the script
 * with 1 if the file is gone.
 */
export function lookLine(path: string): string {
  return `stat -L -c 'file %s %b %B %d:%i:%s:%y:%z' -- ${shellWord(path)} || exit 1`;
}

/** Parses each output of `lookLine`. */
export function parseFiles(answer: string): Omit<FarFile, 'tools' | 'trusted'>[] {
  return [...answer.matchAll(/^file (\d+) (\d+) (\d+) (.+)$/gm)].map(
    ([, length = '', blocks = '', unit = '', fingerprint = '']) => ({
      lengthBytes: BigInt(length),
      allocatedBytes: BigInt(blocks) * BigInt(unit),
      fingerprint,
    }),
  );
}

/**
 * A script that checks the target's folder and prints the free bytes there, and the tools of the
 * host. It writes nothing.
 */
export function planScript(target: string, places: Places): string {
  const parent = shellWord(dirname(target));
  const within = withinLines(dirname(target), places, 43).map((line) => `${line}; `);
  return `${within.join('')}[ -d ${parent} ] || exit 43; stat -f -c 'free %a %S' -- ${parent} || exit 1; ${TOOLS}`;
}

/**
 * Removes private folders that were not touched for this time: interrupted sends that were never
 * repeated.
 */
export function sweepLine(prefix: string, minutes: number): string {
  const touched = `find "$d" -mmin -${String(minutes)} | head -n 1`;
  return `for d in ${shellWord(prefix)}*; do if [ -d "$d" ] && [ -z "$(${touched})" ]; then rm -rf -- "$d"; fi; done`;
}

/** The script of `prepareLines`; also prints the tools of the host. */
export function prepareScript(part: FarPart, overwrite: boolean): string {
  return [...prepareLines(part, overwrite), TOOLS].join('; ');
}

/**
 * Lines that check the target, make the private folder (0700) and print the free bytes there. They
 * end with 43 without a parent, 44 if the target exists, 45 if it cannot be replaced.
 */
export function prepareLines({ target, folder }: FarPart, overwrite: boolean): string[] {
  const [name, private_] = [shellWord(target), shellWord(folder)];
  return [
    `[ -d ${shellWord(dirname(target))} ] || exit 43`,
    ...(overwrite
      ? [`[ -d ${name} ] && exit 45`, ...assertNoHolder(target)]
      : [`if [ -e ${name} ] || [ -h ${name} ]; then exit 44; fi`]),
    `mkdir -p -m 0700 -- ${private_} || exit 1`,
    `stat -f -c 'free %a %S' -- ${private_} || exit 1`,
  ];
}

/** The script of `publishLines`. */
export function publishScript(part: FarPart, attributes: FarAttributes, overwrite: boolean): string {
  return publishLines(part, attributes, overwrite).join('; ');
}

/**
 * A file that replaces another keeps its owner, mode, access list and attributes unless others are
 * given, as on this host.
 */
export function publishLines(
  farPart: FarPart,
  { owner = '', group = '', mode }: FarAttributes,
  overwrite: boolean,
): string[] {
  const { target, folder } = farPart;
  const [name, part] = [shellWord(target), shellWord(`${folder}/part`)];
  const owners = owner === '' && group === '' ? '' : group === '' ? owner : `${owner}:${group}`;
  const octal = (mode ?? NEW_MODE).toString(8).padStart(4, '0');
  const kept = keepRightsLines(farPart, mode === undefined).join('; ');
  return [
    'set -e',
    ...(overwrite ? assertNoHolder(target) : []),
    `m=${octal}`,
    ...(overwrite ? [`if [ -f ${name} ] && [ ! -h ${name} ]; then ${kept}; fi`] : []),
    ...(owners === '' ? [] : [`chown -- ${shellWord(owners)} ${part}`]),
    `chmod -- "$m" ${part}`,
    `stat -c 'made %b %B' -- ${part}`,
    `sync -- ${part}`,
    // A link never replaces; a rename does.
    overwrite ? `mv -fT -- ${part} ${name}` : `ln -T -- ${part} ${name} 2>/dev/null || exit 44`,
    `sync -- ${shellWord(dirname(target))}`,
    `rm -rf -- ${shellWord(folder)}`,
  ];
}
