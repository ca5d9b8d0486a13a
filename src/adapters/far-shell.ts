import { createHash } from 'node:crypto';
import { dirname, type ImageAddress } from '../domain/address.js';
import type { FarAttributes, FarFile, FarPart, FarShell, FarTools, SshHost } from '../domain/copy/remote.js';
import { HostlerError, type Reason } from '../domain/errors.js';
import type { ToolRun } from '../domain/ports.js';
import type { ProcessRunner } from './process.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import { farCommand, farError, shellWord, sshWords, type SshConfig } from './ssh.js';

/** Scripts end with these when they know what is wrong; ssh's own failures end with 255, a shell's with 126 and 127. */
const EXITS: Readonly<Record<number, readonly [Reason, string]>> = {
  41: ['IMAGE_NOT_FOUND', 'does not exist'],
  42: ['NOT_A_FILE', 'is no regular file'],
  43: ['PARENT_NOT_FOUND', 'lies in a folder that does not exist'],
  44: ['TARGET_EXISTS', 'exists'],
  45: ['NOT_A_FILE', 'is a folder or something else that cannot be replaced'],
};
const TOOLS = 'printf "tools"; for t in rsync qemu-nbd; do command -v $t >/dev/null && printf " %s" $t; done; echo';

/** Files on far hosts, by ssh and the tools that every system has. */
export class SshFarShell implements FarShell {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly config: SshConfig,
    private readonly agentId: string,
  ) {}

  async look(host: SshHost, path: ImageAddress, run: ToolRun): Promise<FarFile> {
    const said = await this.#say(host, path, lookScript(path), run);
    const [, length = '', blocks = '', unit = '', fingerprint = ''] = /^file (\d+) (\d+) (\d+) (.+)$/m.exec(said) ?? [];
    if (fingerprint === '') throw farError('ssh', host, said, undefined);
    const allocatedBytes = BigInt(blocks) * BigInt(unit);
    return { lengthBytes: BigInt(length), allocatedBytes, fingerprint, tools: toolsOf(said) };
  }

  async plan(host: SshHost, target: ImageAddress, run: ToolRun) {
    const said = await this.#say(host, target, planScript(target), run);
    return { tools: toolsOf(said), freeBytes: freeOf(said) };
  }

  async prepare(
    host: SshHost,
    target: ImageAddress,
    { key, overwrite, needBytes }: { readonly key: string; readonly overwrite: boolean; readonly needBytes: bigint },
    run: ToolRun,
  ) {
    const name = createHash('sha256').update(key).digest('hex').slice(0, 26);
    const parent = dirname(target);
    const folder = `${parent === '/' ? '' : parent}/${PRIVATE_PREFIX}far-${this.agentId}-${name}`;
    const part = { host, target, folder };
    const said = await this.#say(host, target, prepareScript(part, overwrite), run);
    const freeBytes = freeOf(said);
    if (freeBytes < needBytes) {
      await this.discard(part, run);
      throw new HostlerError('NO_SPACE', `${target} needs ${String(needBytes)} bytes; ${String(freeBytes)} are free`, {
        facts: { host: host.host, path: target, needed: String(needBytes), free: String(freeBytes) },
      });
    }
    return { part, tools: toolsOf(said), freeBytes };
  }

  async publish(part: FarPart, attributes: FarAttributes, overwrite: boolean, run: ToolRun): Promise<bigint> {
    const said = await this.#say(part.host, part.target, publishScript(part, attributes, overwrite), run);
    const [, blocks = '0', unit = '0'] = /^made (\d+) (\d+)$/m.exec(said) ?? [];
    return BigInt(blocks) * BigInt(unit);
  }

  async discard(part: FarPart, run: ToolRun): Promise<void> {
    await this.#say(part.host, part.target, `rm -rf -- ${shellWord(part.folder)}`, run);
  }

  async #say(host: SshHost, path: ImageAddress, script: string, run: ToolRun): Promise<string> {
    const [tool = 'ssh', ...words] = sshWords(this.config, host);
    const args = [...words, '--', host.host, farCommand(`export LC_ALL=C; ${script}`)];
    const { code, stdout, stderr } = await this.runner.run({ tool, args, trusted: true, limits: {} }, run);
    if (code === 0) return stdout;
    const known = code === undefined ? undefined : EXITS[code];
    if (known === undefined) throw farError('ssh', host, stderr, code);
    throw new HostlerError(known[0], `${path} on ${host.host} ${known[1]}`, { facts: { host: host.host, path } });
  }
}

function toolsOf(said: string): FarTools {
  const names = /^tools(.*)$/m.exec(said)?.[1]?.split(' ') ?? [];
  return { rsync: names.includes('rsync'), qemuNbd: names.includes('qemu-nbd') };
}

function freeOf(said: string): bigint {
  const [, blocks = '0', unit = '0'] = /^free (\d+) (\d+)$/m.exec(said) ?? [];
  return BigInt(blocks) * BigInt(unit);
}

/** Length, blocks, and what changes when the file does: device, inode, times. */
export function lookScript(path: string): string {
  const file = shellWord(path);
  return [
    `[ -e ${file} ] || exit 41`,
    `[ -f ${file} ] || exit 42`,
    `stat -L -c 'file %s %b %B %d:%i:%s:%y:%z' -- ${file} || exit 1`,
    TOOLS,
  ].join('; ');
}

export function planScript(target: string): string {
  const parent = shellWord(dirname(target));
  return `[ -d ${parent} ] || exit 43; stat -f -c 'free %a %S' -- ${parent} || exit 1; ${TOOLS}`;
}

export function prepareScript({ target, folder }: FarPart, overwrite: boolean): string {
  const [name, private_] = [shellWord(target), shellWord(folder)];
  return [
    `[ -d ${shellWord(dirname(target))} ] || exit 43`,
    ...(overwrite ? [`[ -d ${name} ] && exit 45`] : [`if [ -e ${name} ] || [ -h ${name} ]; then exit 44; fi`]),
    `mkdir -p -m 0700 -- ${private_} || exit 1`,
    `stat -f -c 'free %a %S' -- ${private_} || exit 1`,
    TOOLS,
  ].join('; ');
}

export function publishScript(
  { target, folder }: FarPart,
  { owner = '', group = '', mode = 0o600 }: FarAttributes,
  overwrite: boolean,
): string {
  const [name, part] = [shellWord(target), shellWord(`${folder}/part`)];
  const owners = owner === '' && group === '' ? '' : group === '' ? owner : `${owner}:${group}`;
  return [
    'set -e',
    ...(owners === '' ? [] : [`chown -- ${shellWord(owners)} ${part}`]),
    `chmod -- 0${mode.toString(8)} ${part}`,
    `stat -c 'made %b %B' -- ${part}`,
    `sync -- ${part}`,
    // A link never replaces; a rename does.
    overwrite ? `mv -fT -- ${part} ${name}` : `ln -T -- ${part} ${name} 2>/dev/null || exit 44`,
    `sync -- ${shellWord(dirname(target))}`,
    `rm -rf -- ${shellWord(folder)}`,
  ].join('; ');
}
