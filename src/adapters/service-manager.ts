import type { ProcessRunner } from './process.js';

const LIMITS = { wallMs: 10_000 };

/** Tells systemd that the daemon is ready or stopping (Type=notify), when it was started by it. */
export class ServiceManager {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly socket: string | undefined,
  ) {}

  ready(): Promise<void> {
    return this.#notify('--ready', `--pid=${String(process.pid)}`);
  }

  stopping(): Promise<void> {
    return this.#notify('STOPPING=1');
  }

  /** Node cannot send to a unix datagram socket; systemd's own tool can, and is there where systemd is. */
  async #notify(...args: readonly string[]): Promise<void> {
    if (this.socket === undefined) return;
    const run = { signal: AbortSignal.timeout(LIMITS.wallMs), onChild: () => undefined };
    const call = { tool: 'systemd-notify', args, trusted: true, limits: LIMITS, env: { NOTIFY_SOCKET: this.socket } };
    const { code, stderr } = await this.runner.run(call, run);
    if (code !== 0) throw new Error(`systemd-notify failed: ${stderr}`);
  }
}
