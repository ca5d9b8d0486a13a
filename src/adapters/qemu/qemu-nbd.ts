import { access as look } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { ExportAccess, ExportServer, Sharing } from '../../domain/transfer/open-export.js';
import type { MemoryFolders } from '../process/memory-folders.js';
import { NBD_ENV, pskObject } from './nbd-args.js';
import { NbdFront } from './nbd-front.js';
import type { ProcessRunner } from '../process/process.js';
import { fileOptions } from './qemu-nodes.js';
import { qemuError } from './qemu-output.js';
import type { Arg } from '../process/tool-call.js';
import type { ExportConfig } from '../config/transfer-config.js';
import type { Handle, Resolved } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** More than any agent opens. */
const MAX_CONNECTIONS = 64;
/** Time limit for a connection to begin TLS. */
const SILENCE_MS = 10_000;
const LOOK_EVERY_MS = 5;
/** File names in the private folder; the pid file is written when qemu-nbd listens. */
const [SOCKET, PID_FILE] = ['s', 'pid'];

/**
 * One qemu-nbd for each export, in the sandbox, on a socket in a private folder; a thread of the
 * daemon forwards network connections to it.
 */
export class QemuNbdServer implements ExportServer {
  readonly #fronts = new Map<number, NbdFront>();

  /** @param config unset: this daemon serves no exports */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly folders: MemoryFolders,
    private readonly config: ExportConfig | undefined,
  ) {}

  async serve(
    file: Resolved,
    access: ExportAccess & Sharing,
    tool: ToolRun,
    onReady: (port: number) => void,
  ): Promise<void> {
    if (this.config === undefined) throw unsupported('this agent serves no exports: [exports] is not configured');
    const folder = await this.folders.make();
    const stop = new AbortController();
    const job = {
      ...this.config,
      socket: join(folder.path, SOCKET),
      maxConnections: MAX_CONNECTIONS,
      silenceMs: SILENCE_MS,
    };
    const front = new NbdFront(job, (error) => stop.abort(error));
    let port: number | undefined;
    try {
      void isWritten(join(folder.path, PID_FILE), AbortSignal.any([stop.signal, tool.signal])).then(async (written) => {
        if (!written) return;
        const at = await front.port;
        if (stop.signal.aborted) return;
        port = at;
        this.#fronts.set(at, front);
        onReady(at);
      });
      const call = {
        tool: 'qemu-nbd',
        args: serverArgs(file, access, folder.handle),
        limits: {},
        env: NBD_ENV,
        ...(file.trusted ? {} : { foreign: true }),
      };
      const exit = await this.runner.run(call, { ...tool, signal: AbortSignal.any([stop.signal, tool.signal]) });
      throw qemuError(exit.stderr, exit);
    } finally {
      stop.abort(new HostlerError('CANCELLED', 'the export is over'));
      if (port !== undefined) this.#fronts.delete(port);
      await front.end();
      await folder.remove();
    }
  }

  isUsed(port: number): boolean {
    return (this.#fronts.get(port)?.connections ?? 0) > 0;
  }
}

function serverArgs(file: Resolved, { name, key, shared }: ExportAccess & Sharing, folder: Handle): Arg[] {
  const within = (entry: string) => ({ write: { handle: folder, name: entry } });
  return [
    '--read-only',
    '--persistent',
    `--shared=${String(MAX_CONNECTIONS)}`,
    `--export-name=${name}`,
    ['--socket=', within(SOCKET)],
    ['--pid-file=', within(PID_FILE)],
    ...pskObject('server', key),
    '--tls-creds=tls',
    '--image-opts',
    // qemu-nbd has no option to share an image: without locks it can read an image that another
    // process writes.
    [...fileOptions(file, 'raw'), ...(shared ? [',file.locking=off'] : [])],
  ];
}

/** False if the signal was aborted first. */
async function isWritten(path: string, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    const there = await look(path).then(
      () => true,
      () => false, // not there yet: qemu-nbd writes it when it listens
    );
    if (there) return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}
