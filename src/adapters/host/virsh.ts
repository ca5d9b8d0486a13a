import { HostlerError } from '../../domain/model/errors.js';
import type { DomainSource } from '../../domain/verbs/find-root-disk.js';
import type { ProcessRunner } from '../process/process.js';
import { plainRun } from '../../domain/ports/tools.js';

const LIMITS = { wallMs: 20_000 };

/** Queries libvirt through its own client, with read-only access. */
export class Virsh implements DomainSource {
  /** @param uri of libvirt; unset: virsh's default */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly uri: string | undefined,
  ) {}

  async xmlOf(name: string, signal: AbortSignal): Promise<string> {
    const connect = this.uri === undefined ? [] : ['--connect', this.uri];
    const args = ['--readonly', '--quiet', ...connect, 'dumpxml', `--domain=${name}`];
    const run = plainRun(signal);
    const { code, stdout, stderr } = await this.runner.run({ tool: 'virsh', args, trusted: true, limits: LIMITS }, run);
    if (code === 0) return stdout;
    const lastLine = stderr.trim().split('\n').at(-1) ?? '';
    if (/failed to get domain/.test(stderr))
      throw new HostlerError('DOMAIN_NOT_FOUND', `libvirt knows no domain ${name}`, { facts: { domain: name } });
    throw new HostlerError('TOOL_FAILED', `virsh failed: ${lastLine}`, { facts: { tool: 'virsh', stderr: lastLine } });
  }
}
