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
/** More than any script of ours prints after a greeting: longer output is cut off. */
const MAX_SAID = 256 * 1024;
/** To tidy up at the far end, before the line is cut. */
const GOODBYE_MS = 10_000;
const NOTHING = () => undefined;

export interface FarScript {
  readonly script: string;
  /** A socket here that leads to one there. */
  readonly forward: { readonly from: string; readonly to: string };
}

/**
 * A script that runs on a far host while we speak to it. It hears a heartbeat on its standard
 * input, or a letter that means something to it; when it hears nothing, or the end, it tidies up:
 * so nothing stays there, whatever becomes of us or of the line.
 */
export class FarSession {
  readonly #stdin = new PassThrough();
  readonly #stderr = new LastBytes(MAX_STDERR_BYTES);
  readonly #cut = new AbortController();
  readonly #beat: NodeJS.Timeout;
  readonly #exit: Promise<Exit>;
  #output = '';
  #over = false;
  /** Resolved, and replaced, whenever there is more to know. */
  #changed = deferred();

  constructor(
    runner: ProcessRunner,
    config: SshConfig,
    private readonly host: SshHost,
    { script, forward }: FarScript,
    /** What an exit code of the script means. */
    private readonly meaning: (exit: Exit) => HostlerError,
  ) {
    const [tool = 'ssh', ...words] = sshWords(config, host);
    const forwarding = ['-o', 'ExitOnForwardFailure=yes', '-L', `${forward.from}:${forward.to}`];
    const args = [...words, ...forwarding, '--', host.host, farCommand(`export LC_ALL=C; ${script}`)];
    // A line that takes no more is dead; more beats would only be kept here.
    const beat = () => this.#stdin.writableNeedDrain || this.#stdin.write(HEARTBEAT);
    this.#beat = setInterval(beat, (config.deadLineSeconds * 1000) / BEATS);
    // Its end says what became of it.
    this.#stdin.on('error', NOTHING);
    const hear = (stream: 'stdout' | 'stderr', piece: Buffer) => {
      if (stream === 'stderr') this.#stderr.add(piece);
      else this.#output += piece.toString('latin1');
      if (this.#output.length > MAX_SAID) this.#cut.abort(limitExceeded(tool, 'output', String(MAX_SAID)));
      this.#tell();
      return Promise.resolve();
    };
    // Not ended by the operation's cancel: first the far end tidies up.
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

  /** What it has complained of so far. */
  get complaints(): string {
    return this.#stderr.text;
  }

  /** The first line that is one of those, when it has come. Fails when the script ends before. */
  async line(pattern: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
    for (;;) {
      const heard = this.#changed.promise;
      const found = pattern.exec(this.#output);
      if (found !== null) return found;
      if (this.#over) throw await this.#failure();
      await orAborted(heard, signal);
    }
  }

  /** A letter that it knows. */
  say(letter: string): void {
    if (this.#stdin.writable) this.#stdin.write(letter);
  }

  /** Has it tidy up and end; all that it said. Fails as it fails. */
  async end(): Promise<string> {
    await this.close();
    return this.ended();
  }

  /** When it has come to its end by itself. */
  async ended(): Promise<string> {
    const exit = await this.#exit.catch(NOTHING);
    if (exit?.code !== 0) throw await this.#failure();
    return this.#output;
  }

  /** The same, whatever comes of it: when the line is dead, the far end notices by itself. */
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
