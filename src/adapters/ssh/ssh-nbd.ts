import { join } from 'node:path';
import { dirname, type ImageAddress } from '../../domain/model/address.js';
import type { DataExtent } from '../../domain/model/block-digest.js';
import type { FarExport, FarSource, NbdTool, PushOptions } from '../../domain/copy/agents.js';
import type { DraftNeed, FarDraft, FarNbd, FarPart, FarPublished, SshHost } from '../../domain/copy/remote.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { farDigest } from './far-digest.js';
import { EXPORT_NAME, PUBLISH, draftScript, readyLine, serveScript, type FarNbdServer } from './far-nbd-scripts.js';
import { answerBehind, bytesOf } from './answers.js';
import { FarSession } from './far-session.js';
import { parseFiles, noSpaceThere, publishedOf, scriptError, type FarScope } from './far-shell.js';
import type { MemoryFolder, MemoryFolders } from '../process/memory-folders.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import type { ProcessRunner } from '../process/process.js';
import type { SshConfig } from '../config/transfer-config.js';
import { isTrusted } from './ssh.js';
import type { Resolved } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

const SOCKET = 's';
const NAME_BYTES = 10;
/** Longer than the daemon needs to notice a dead connection. */
const SILENCES = 2;

export interface SshNbdPorts {
  readonly runner: ProcessRunner;
  readonly config: SshConfig;
  readonly folders: MemoryFolders;
  readonly tool: NbdTool;
  readonly agentId: string;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Time limit for a remote script without output. */
  readonly silenceMs: number;
  readonly scope: FarScope;
}

/** qemu-nbd on remote hosts, through a socket that ssh forwards. */
export class SshNbd implements FarNbd {
  constructor(private readonly ports: SshNbdPorts) {}

  source(host: SshHost, tool: ToolRun): FarSource {
    return new SshSource(this.ports, host, tool);
  }

  async draft(host: SshHost, target: ImageAddress, need: DraftNeed, { signal }: ToolRun): Promise<FarDraft> {
    const parent = dirname(target);
    const name = `${PRIVATE_PREFIX}far-${this.ports.agentId}-${randomName(this.ports)}`;
    const part = { host, target, folder: `${parent === '/' ? '' : parent}/${name}` };
    const places = this.ports.scope.farPlaces(host, 'write');
    const script = (serving: FarNbdServer) => draftScript(part, need, need.attributes, serving, places);
    const line = await SshTunnel.open(this.ports, host, target, script);
    try {
      const output = await line.ready(signal);
      const freeBytes = bytesOf('free', output, host);
      if (freeBytes < need.needBytes) throw noSpaceThere(part, need.needBytes, freeBytes);
      return new SshDraft(this.ports, line, part, need.lengthBytes);
    } catch (error) {
      await line.close();
      throw error;
    }
  }
}

function randomName({ randomBytes }: SshNbdPorts): string {
  return Buffer.from(randomBytes(NAME_BYTES)).toString('hex');
}

/** A session with a socket on each side. */
class SshTunnel {
  private constructor(
    readonly session: FarSession,
    private readonly here: MemoryFolder,
    private readonly host: SshHost,
    private readonly silenceMs: number,
    private readonly mark: string,
  ) {}

  static async open(
    ports: SshNbdPorts,
    host: SshHost,
    path: ImageAddress,
    script: (serving: FarNbdServer) => string,
  ): Promise<SshTunnel> {
    const { runner, config, folders } = ports;
    const here = await folders.make();
    const there = `/tmp/hostler-${randomName(ports)}`;
    const forward = { from: join(here.path, SOCKET), to: `${there}/${SOCKET}` };
    const mark = `hostler-${randomName(ports)}`;
    const serving = { folder: there, silenceSeconds: config.deadLineSeconds * SILENCES, mark };
    const session = new FarSession(runner, config, host, { script: script(serving), forward }, (exit) =>
      scriptError(host, path, exit),
    );
    return new SshTunnel(session, here, host, ports.silenceMs, mark);
  }

  /** The script's output when it serves. Fails with STALLED. */
  async ready(signal: AbortSignal): Promise<string> {
    const silence = new AbortController();
    const { host } = this.host;
    const timer = setTimeout(() => {
      const text = `${host}: nothing arrived for ${String(this.silenceMs / 1000)} s`;
      silence.abort(new HostlerError('STALLED', text, { facts: { host, silence_ms: String(this.silenceMs) } }));
    }, this.silenceMs);
    try {
      const ready = new RegExp(`^${readyLine(this.mark)}$`, 'm');
      const { input } = await this.session.line(ready, AbortSignal.any([signal, silence.signal]));
      return this.answer(input);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The script's own output, without that of the login shell before it. */
  answer(output: string): string {
    return answerBehind(output, this.mark, this.host);
  }

  get place() {
    return { socket: { handle: this.here.handle, name: SOCKET } };
  }

  /** Adds the remote side's messages to a failure of the NBD connection. */
  explain(error: unknown): HostlerError {
    const { complaints } = this.session;
    if (!/open failed|prohibited/.test(complaints)) return asHostlerError(error);
    const { host } = this.host;
    const text = `${host}: its sshd forwards no sockets (AllowStreamLocalForwarding)`;
    return new HostlerError('REMOTE_REFUSED', text, { facts: { host, stderr: complaints }, cause: error });
  }

  async close(): Promise<void> {
    await this.session.close();
    await this.here.remove();
  }
}

class SshSource implements FarSource {
  #line: SshTunnel | undefined;
  #export: FarExport | undefined;

  constructor(
    private readonly ports: SshNbdPorts,
    private readonly host: SshHost,
    private readonly tool: ToolRun,
  ) {}

  get trusted(): boolean {
    return isTrusted(this.ports.config, this.host);
  }

  async openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport> {
    await this.close();
    const places = this.ports.scope.farPlaces(this.host, 'read');
    const script = (serving: FarNbdServer) => serveScript(source, allowInUse, serving, places);
    this.#line = await SshTunnel.open(this.ports, this.host, source, script);
    const { place } = this.#line;
    const output = await this.#line.ready(signal);
    const [file] = parseFiles(output);
    if (file === undefined)
      throw new HostlerError('REMOTE_UNREACHABLE', `${this.host.host} does not describe ${source}`);
    const { lengthBytes, fingerprint } = file;
    return (this.#export = { place, name: EXPORT_NAME, lengthBytes, fingerprint });
  }

  async *map(_source: ImageAddress, signal: AbortSignal): AsyncGenerator<DataExtent> {
    try {
      yield* this.ports.tool.map(this.#opened, { ...this.tool, signal });
    } catch (error) {
      throw this.#line?.explain(error) ?? error;
    }
  }

  async closeExport(_name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const output = await this.#line?.session.end();
    const [before, after] = parseFiles(this.#line?.answer(output ?? '') ?? '');
    if (before?.fingerprint === after?.fingerprint) return;
    throw new HostlerError('SOURCE_CHANGED', `the source on ${this.host.host} changed while it was read`, {
      facts: { host: this.host.host },
    });
  }

  async digest(source: ImageAddress, signal: AbortSignal): Promise<string> {
    // Reads the current state: a former hole may have been written.
    const { name, lengthBytes } = await this.openExport(source, true, signal);
    const extents = lengthBytes === 0n ? [] : this.map(source, signal);
    const far = { ...this.ports, host: this.host };
    const digest = await farDigest(far, { path: source, lengthBytes }, extents, { ...this.tool, signal });
    await this.closeExport(name, signal);
    return digest;
  }

  async close(): Promise<void> {
    await this.#line?.close();
    this.#line = undefined;
  }

  get #opened(): FarExport {
    if (this.#export === undefined) throw new HostlerError('BUG', 'nothing is exported');
    return this.#export;
  }
}

class SshDraft implements FarDraft {
  constructor(
    private readonly ports: SshNbdPorts,
    private readonly line: SshTunnel,
    private readonly part: FarPart,
    private readonly lengthBytes: bigint,
  ) {}

  async write(source: Resolved, options: PushOptions, tool: ToolRun): Promise<void> {
    if (this.lengthBytes === 0n) return;
    await this.ports.tool.push(source, this.line.place, EXPORT_NAME, options, tool).catch((error: unknown) => {
      throw this.line.explain(error);
    });
  }

  digest(extents: AsyncIterable<DataExtent>, tool: ToolRun): Promise<string> {
    const { host, folder } = this.part;
    const file = { path: `${folder}/part`, lengthBytes: this.lengthBytes };
    return farDigest({ ...this.ports, host }, file, extents, tool);
  }

  async publish(): Promise<FarPublished> {
    this.line.session.say(PUBLISH);
    const output = await this.line.session.ended();
    return publishedOf(this.line.answer(output), this.part.host);
  }

  close(): Promise<void> {
    return this.line.close();
  }
}
