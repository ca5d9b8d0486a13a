import type { ProcessRunner } from '../process/process.js';
import { plainRun } from '../../domain/ports/tools.js';

/**
 * A notification is one datagram on a socket; the daemon does not wait for a service manager that
 * does not read it.
 */
const LIMITS = { wallMs: 5000 };

/** Tells systemd that the daemon is ready or stopping (Type=notify), if systemd started it. */
export class ServiceManager {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly socket: string | undefined,
    /**
     * Called with the reason if the service manager could not be notified; the daemon continues, or
     * ends, anyway.
     */
    private readonly onFailed: (cause: unknown) => void,
  ) {}

  /** Never fails, and takes a few seconds at most. */
  ready(): Promise<void> {
    return this.#notify('--ready', `--pid=${String(process.pid)}`).catch(this.onFailed);
  }

  /** As `ready`. */
  stopping(): Promise<void> {
    return this.#notify('STOPPING=1').catch(this.onFailed);
  }

  /**
   * Node cannot send to a unix datagram socket; systemd's own tool can, and exists wherever systemd
   * does.
   */
  async #notify(...args: readonly string[]): Promise<void> {
    if (this.socket === undefined) return;
    const run = plainRun(AbortSignal.timeout(LIMITS.wallMs));
    const call = { tool: 'systemd-notify', args, trusted: true, limits: LIMITS, env: { NOTIFY_SOCKET: this.socket } };
    const { code, stderr } = await this.runner.run(call, run);
    if (code !== 0) throw new Error(`systemd-notify failed: ${stderr}`);
  }
}
