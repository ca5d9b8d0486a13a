import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../domain/errors.js';
import type { Resolved, ToolRun } from '../domain/ports.js';
import type { ExportAccess, ExportServer } from '../domain/transfer/open-export.js';
import { errnoOf } from './errno.js';
import type { ProcessRunner } from './process.js';
import { pskObject } from './nbd-args.js';
import { fileOptions } from './qemu-args.js';
import { qemuError } from './qemu-output.js';
import type { Arg } from './tool-call.js';

export interface ExportConfig {
  /** Where it listens. */
  readonly address: string;
  readonly firstPort: number;
  readonly lastPort: number;
}

/** More than any agent opens. */
const MAX_CONNECTIONS = 64;
const LOOK_EVERY_MS = 5;
const START_MS = 10_000;
const [ESTABLISHED, LISTEN] = ['01', '0A'];
const PORT_TAKEN = /Address already in use/;

/** One qemu-nbd an export, in the sandbox, with the network. */
export class QemuNbdServer implements ExportServer {
  readonly #taken = new Set<number>();

  /** @param config unset: exports are not served here */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly config: ExportConfig | undefined,
  ) {}

  async serve(file: Resolved, access: ExportAccess, run: ToolRun, onReady: (port: number) => void): Promise<void> {
    const { config } = this;
    if (config === undefined)
      throw new HostlerError('UNSUPPORTED_BY_BACKEND', 'this agent serves no exports: [exports] is not configured');
    for (let port = config.firstPort; port <= config.lastPort; port++) {
      if (this.#taken.has(port) || stateOf(port, LISTEN)) continue;
      this.#taken.add(port);
      try {
        if (await this.#serveAt(port, config.address, file, access, run, onReady)) return;
      } finally {
        this.#taken.delete(port);
      }
    }
    throw new HostlerError('TOO_MANY_OPERATIONS', 'every port for exports is taken', { retryAfterMs: START_MS });
  }

  isUsed(port: number): boolean {
    return stateOf(port, ESTABLISHED);
  }

  /** False when somebody else has the port. */
  async #serveAt(
    port: number,
    address: string,
    file: Resolved,
    access: ExportAccess,
    run: ToolRun,
    onReady: (port: number) => void,
  ): Promise<boolean> {
    const over = new AbortController();
    void waitForListener(port, AbortSignal.any([over.signal, run.signal])).then((listening) => {
      if (listening) onReady(port);
    });
    try {
      const call = {
        tool: 'qemu-nbd',
        args: serverArgs(file, access, address, port),
        network: true,
        limits: {},
        ...(file.trusted ? {} : { foreign: true }),
      };
      const exit = await this.runner.run(call, run);
      if (PORT_TAKEN.test(exit.stderr)) return false;
      throw qemuError(exit.stderr, exit);
    } finally {
      over.abort();
    }
  }
}

export function serverArgs(file: Resolved, { name, key }: ExportAccess, address: string, port: number): Arg[] {
  return [
    '--read-only',
    '--persistent',
    `--shared=${String(MAX_CONNECTIONS)}`,
    `--export-name=${name}`,
    `--bind=${address}`,
    `--port=${String(port)}`,
    ...pskObject('server', key),
    '--tls-creds=tls',
    '--image-opts',
    fileOptions(file, 'raw'),
  ];
}

async function waitForListener(port: number, signal: AbortSignal): Promise<boolean> {
  for (let waited = 0; waited < START_MS && !signal.aborted; waited += LOOK_EVERY_MS) {
    if (stateOf(port, LISTEN)) return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}

/** Whether a local port has a socket in this state: to look costs nothing, to connect would be a client. */
function stateOf(port: number, state: string): boolean {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].some((table) =>
    readTable(table)
      .split('\n')
      .some((line) => {
        const [, local = '', , found] = line.trim().split(/\s+/);
        return found === state && local.endsWith(end);
      }),
  );
}

function readTable(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    // A kernel without IPv6.
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
