import type { ImageAddress } from '../model/address.js';
import { assertStorage } from '../images/assert-storage.js';
import type { Caller } from '../access/caller.js';
import { fingerprintText } from '../verbs/digest-image.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Operations } from '../operations/engine.js';
import type { ExportResult } from '../operations/results.js';
import { OpenSessions, untilIdle } from '../operations/open-sessions.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock, Files } from '../ports/images.js';
import { sameFile } from '../images/read-image.js';
import { deferred, orAborted } from '../model/async.js';
import type { Ask } from '../operations/engine-ports.js';
import type { Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';
import type { Paths } from '../ports/paths.js';

export interface ExportSpec {
  readonly address: ImageAddress;
  readonly peer: string;
  readonly allowInUse: boolean;
}

/** How a client that has its name and key reaches an export. */
export interface ExportAccess {
  readonly name: string;
  readonly key: Uint8Array;
}

export interface Sharing {
  /** It is read although a process writes it: the caller vouches for the content. */
  readonly shared: boolean;
}

/** Serves a file's bytes over NBD with TLS, read-only. */
export interface ExportServer {
  /**
   * Serves any number of connections until the run's signal is aborted. `onReady` gets the port.
   * Fails with TOOL_MISSING, TOOL_FAILED, and TOO_MANY_OPERATIONS if every port is in use.
   */
  serve(file: Resolved, access: ExportAccess & Sharing, tool: ToolRun, onReady: (port: number) => void): Promise<void>;
  /** Whether a client is connected. */
  isUsed(port: number): boolean;
}

export interface ExportPorts {
  readonly files: Files;
  readonly paths: Paths;
  readonly exportServer: ExportServer;
  /** Unpredictable bytes. */
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clock: Clock;
  readonly exportTimes: { readonly idleMs: number; readonly totalMs: number };
}

export interface OpenedExport extends ExportAccess {
  readonly operationId: string;
  readonly port: number;
  readonly expireTimeMs: number;
  readonly lengthBytes: bigint;
  readonly fingerprint: string;
}

interface Entry extends Omit<OpenedExport, 'operationId'> {
  readonly owner: string;
  /** Ends it; fails with SOURCE_CHANGED, IMAGE_IN_USE. */
  close(): Promise<void>;
}

const NAME_BYTES = 24;
const KEY_BYTES = 32;

/** Exports, each an operation that lasts until it is closed. */
export class Exports {
  readonly #sessions = new OpenSessions<Entry>();

  constructor(
    private readonly operations: Operations,
    private readonly ports: ExportPorts,
  ) {}

  async open(spec: ExportSpec, ask: Ask, caller: Caller): Promise<OpenedExport> {
    const begin = (as: Caller) => this.operations.start(this.#verb, spec, { ...ask, detach: true }, as);
    const stood = await this.#sessions.start(begin, caller);
    if ('ended' in stood)
      throw new HostlerError('OPERATION_NOT_FOUND', 'the session that this request opened has been closed', {
        facts: { operation: stood.id },
      });
    return { ...stood.item, operationId: stood.id };
  }

  /** Fails with EXPORT_NOT_FOUND, SOURCE_CHANGED, IMAGE_IN_USE. */
  async close(name: string, caller: Caller): Promise<void> {
    const found = this.#sessions.all.find(([, entry]) => entry.name === name && entry.owner === caller.identity);
    if (found === undefined) throw new HostlerError('EXPORT_NOT_FOUND', 'there is no such export of this caller');
    const [id, entry] = found;
    const operation = this.operations.live.get(id);
    await orAborted(entry.close(), caller.signal);
    if (operation !== undefined) await orAborted(operation.finished, caller.signal);
  }

  get #verb(): Verb<ExportSpec, ExportResult> {
    return {
      name: 'OpenExport',
      slot: () => 'export',
      standing: true,
      uses: ({ address, allowInUse }) => [{ role: 'source', address, allowInUse }],
      run: (spec, run) => this.#run(spec, run),
    };
  }

  /** Whether the file is unchanged, and its name still leads to it. */
  async #isStill(file: Resolved, fingerprint: string): Promise<boolean> {
    const { files, paths } = this.ports;
    if (fingerprintText(await files.fingerprint(file)) !== fingerprint) return false;
    const named = await paths.source(file.address).catch(() => undefined); // gone, or another file
    await named?.handle.close();
    return named !== undefined && sameFile(named, file);
  }

  async #run({ address, allowInUse: shared }: ExportSpec, run: Run): Promise<ExportResult> {
    const { files, exportServer, randomBytes, clock, exportTimes } = this.ports;
    run.phase('COPYING');
    assertStorage(run.file(address), ['file', 'device'], 'an export');
    const file = await files.refresh(run.file(address));
    const fingerprint = fingerprintText(await files.fingerprint(file));
    const name = Buffer.from(randomBytes(NAME_BYTES)).toString('hex');
    const key = randomBytes(KEY_BYTES);
    await run.step('serve');
    const [ready, closed, stop] = [deferred<number>(), deferred(), new AbortController()];
    const tool = { ...run.tool(), signal: AbortSignal.any([run.signal, stop.signal]) };
    const ended = exportServer.serve(file, { name, key, shared }, tool, ready.resolve).then(() => {
      throw new HostlerError('TOOL_FAILED', 'the export ended by itself');
    });
    ended.catch(() => undefined); // avoids unhandledRejection; awaited later
    try {
      const port = await Promise.race([ready.promise, ended]);
      const opened = clock();
      let used = opened;
      const expiresAt = () => {
        if (exportServer.isUsed(port)) used = clock();
        return Math.min(used + exportTimes.idleMs, opened + exportTimes.totalMs);
      };
      const close = async () => {
        try {
          // Before the end, which closes the handles.
          await run.assertSourcesFree();
          if (await this.#isStill(file, fingerprint)) return;
          throw new HostlerError('SOURCE_CHANGED', `${address} changed while it was exported`, {
            facts: { path: address },
          });
        } finally {
          closed.resolve();
        }
      };
      await run.assertSourcesFree();
      const entry = {
        ...{ name, key, port, fingerprint, close },
        lengthBytes: file.lengthBytes,
        expireTimeMs: opened + exportTimes.totalMs,
        owner: run.caller.identity,
      };
      const until = () => Promise.race([untilIdle(closed.promise, expiresAt, clock, run.signal, 'the export'), ended]);
      await this.#sessions.keep(run.operationId, entry, until);
      return { kind: 'export', lengthBytes: file.lengthBytes };
    } catch (error) {
      throw asHostlerError(error);
    } finally {
      stop.abort(new HostlerError('CANCELLED', 'the export is over'));
      await ended.catch(() => undefined); // the result or an earlier error counts
    }
  }
}
