import { PassThrough } from 'node:stream';
import type { SshHost } from '../../domain/copy/remote.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { deferred, orAborted, pause } from '../../domain/model/async.js';
import { limitExceeded } from '../process/child-control.js';
import { LastBytes } from '../process/output.js';
import type { Exit, ProcessRunner } from '../process/process.js';
import { farCommand, farError, sshWords } from './ssh.js';
import type { SshConfig } from '../config/transfer-config.js';

const HEARTBEAT = '.';
const BEATS = 3;
const MAX_STDERR_BYTES = 4096;
/** More than any of the scripts prints after a greeting: longer output is cut off. */
const MAX_SAID = 256 * 1024;
/** Time for the remote side to clean up before the connection is closed. */
const GOODBYE_MS = 10_000;
const NOTHING = () => undefined;

export interface FarScript {
  readonly script: string;
  /** A local socket that ssh forwards to a remote one. */
  readonly forward: { readonly from: string; readonly to: string };
}

/**
 * A script that runs on a remote host while the daemon communicates with it. It reads heartbeats,
 * or letters that are commands, from its standard input; on silence or the end of its input it
 * cleans up. So nothing stays there, whatever happens to the daemon or the connection.
 */
export class FarSession {
  readonly #stdin = new PassThrough();
  readonly #stderr = new LastBytes(MAX_STDERR_BYTES);
  readonly #cut = new AbortController();
  readonly #beat: NodeJS.Timeout;
  readonly #exit: Promise<Exit>;
  #output = '';
  #over = false;
  /** Resolved and replaced whenever there is news. */
  #changed = deferred();

  constructor(
    runner: ProcessRunner,
    config: SshConfig,
    private readonly host: SshHost,
    { script, forward }: FarScript,
    /** The meaning of the script's exit codes. */
    private readonly meaning: (exit: Exit) => HostlerError,
  ) {
    const [tool = 'ssh', ...words] = sshWords(config, host);
    const forwarding = ['-o', 'ExitOnForwardFailure=yes', '-L', `${forward.from}:${forward.to}`];
    const args = [...words, ...forwarding, '--', host.host, farCommand(`export LC_ALL=C; ${script}`)];
    // A connection that accepts no more data is dead; further heartbeats would only be buffered.
    const beat = () => this.#stdin.writableNeedDrain || this.#stdin.write(HEARTBEAT);
    this.#beat = setInterval(beat, (config.deadLineSeconds * 1000) / BEATS);
    // The exit of the script reports what happened.
    this.#stdin.on('error', NOTHING);
    const hear = (stream: 'stdout' | 'stderr', piece: Buffer) => {
      if (stream === 'stderr') this.#stderr.add(piece);
      else this.#output += piece.toString('latin1');
      if (this.#output.length > MAX_SAID) this.#cut.abort(limitExceeded(tool, 'output', String(MAX_SAID)));
      this.#tell();
      return Promise.resolve();
    };
    // The operation's cancel does not end it directly: the remote side cleans up first.
    const run = { signal: this.#cut.signal, onChild: NOTHING };
    this.#exit = runner.pieces({ tool, args, trusted: true, limits: {}, stdin: this.#stdin }, run, hear);
    this.#exit.then(NOTHING, NOTHING).finally(() => {
      clearInterval(this.#beat);
      this.#over = true;
      this.#tell();
    });
  }

  #tell(): void {
    const { resolve } = this.#changed;
    this.#changed = deferred();
    resolve();
  }

  /** Error output so far. */
  get complaints(): string {
    return this.#stderr.text;
  }

  /** The first line that matches, as soon as it has arrived. Fails if the script ends before. */
  async line(pattern: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
    for (;;) {
      const heard = this.#changed.promise;
      const found = pattern.exec(this.#output);
      if (found !== null) return found;
      if (this.#over) throw await this.#failure();
      await orAborted(heard, signal);
    }
  }

  /** Sends a command letter. */
  say(letter: string): void {
    if (this.#stdin.writable) this.#stdin.write(letter);
  }

  /** Makes the script clean up and end; returns its output. Fails as the script does. */
  async end(): Promise<string> {
    await this.close();
    return this.ended();
  }

  /** Waits for the script to end by itself. */
  async ended(): Promise<string> {
    const exit = await this.#exit.catch(NOTHING);
    if (exit?.code !== 0) throw await this.#failure();
    return this.#output;
  }

  /**
   * As `end`, but ignores the result: if the connection is dead, the remote side notices by itself.
   */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    this.#stdin.end();
    const ended = this.#exit.then(NOTHING, NOTHING);
    await pause(GOODBYE_MS, ended);
    if (!this.#over)
      this.#cut.abort(new HostlerError('REMOTE_UNREACHABLE', `${this.host.host} does not end its session`));
    await ended;
  }

  async #failure(): Promise<HostlerError> {
    try {
      const exit = await this.#exit;
      if (exit.code === 0) return farError('ssh', this.host, 'Connection closed: the far end stopped', exit.code);
      return this.meaning({ ...exit, stderr: this.complaints });
    } catch (error) {
      return asHostlerError(error);
    }
  }
}
