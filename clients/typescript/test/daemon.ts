/** A real daemon for the tests: clients/testing/daemon.sh. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { connect, grpcJsTransport, type ConnectOptions, type Hostler, type TransportFactory } from '@hostler/client';
import { connectTransport } from '@hostler/client/connect';

const SCRIPT = join(import.meta.dirname, '../../testing/daemon.sh');
/** Restarts of daemons are waited for in tests, not by people. */
export const QUICK = { firstDelayMs: 100, maxDelayMs: 500, giveUpAfterMs: 30_000 };

/** Both libraries, by name. */
export const TRANSPORTS: readonly (readonly [name: string, transport: TransportFactory])[] = [
  ['grpc-js', grpcJsTransport],
  ['connect', connectTransport],
];

export interface Places {
  readonly folder: string;
  readonly root: string;
  readonly socket: string;
  readonly tls: string;
  readonly wrong_name: string;
  readonly www: number;
}

/** One daemon serves all tests: most of their time would be its start. */
let shared: Daemon | undefined;
export const mochaHooks = {
  async beforeAll(): Promise<void> {
    shared = await Daemon.start();
  },
  async afterAll(): Promise<void> {
    await shared?.end();
  },
};

/** The daemon of all tests, in a test or hook. */
export function daemon(): Daemon {
  if (shared === undefined) throw new Error('mocha runs without --require test/daemon.ts');
  return shared;
}

class Daemon {
  readonly places: Places;
  readonly #scratch: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    scratch: string,
    child: ChildProcessWithoutNullStreams,
    lines: AsyncIterator<string>,
    first: string,
  ) {
    this.#scratch = scratch;
    this.#child = child;
    this.#lines = lines;
    this.places = JSON.parse(first) as Places;
  }

  static async start(): Promise<Daemon> {
    const scratch = await mkdtemp(join(tmpdir(), 'hostler-client-'));
    const child = spawn(SCRIPT, [join(scratch, 'd')], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stderr.pipe(process.stderr);
    const reader: Interface = createInterface(child.stdout);
    const lines = reader[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) throw new Error(`${SCRIPT} ended without a word`);
    return new Daemon(scratch, child, lines, first.value);
  }

  /** `kill` (SIGKILL, and start again), `stop`, `start`; resolves when it is done. */
  async order(word: 'kill' | 'stop' | 'start'): Promise<void> {
    this.#child.stdin.write(`${word}\n`);
    const answer = await this.#lines.next();
    if (answer.value !== 'ok') throw new Error(`${word}: ${String(answer.value)}`);
  }

  async end(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.stdin.end();
    await exit;
    await rm(this.#scratch, { recursive: true });
  }

  /** A client at the socket, with the role admin. */
  connect(options: ConnectOptions = {}): Promise<Hostler> {
    return connect({ address: this.places.socket, retry: QUICK, env: {}, ...options });
  }

  /** The TLS files of a caller. */
  tls(name: string, ca = 'ca.pem'): { ca: string; cert: string; key: string } {
    const file = (each: string) => join(this.places.folder, 'pki', each);
    return { ca: file(ca), cert: file(`${name}.pem`), key: file(`${name}.key`) };
  }

  image(name: string): string {
    return join(this.places.root, name);
  }
}
