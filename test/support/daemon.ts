/** The real daemon in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { leftovers } from './files/names-below.js';
import type { Scratch } from './scratch.js';
import { searchLog } from './secrets.js';
import { watchServing, watchdogEnvironment } from './watchdog/held.js';
import { Stranger, type Message } from './stranger.js';

export const ROOT_FOLDER = fileURLToPath(new URL('../../../', import.meta.url));
export const HOSTLER = join(ROOT_FOLDER, 'bin/hostler');
export const HOSTLERD = join(ROOT_FOLDER, 'bin/hostlerd');

/** Short, as tests start a thousand daemons. */
const LOOK_MS = 5;
/** A busy machine may take half a minute. */
const START_TRIES = 30_000 / LOOK_MS;
/** So long a daemon may take to answer after a test has failed. */
const SETTLE_MS = 5000;

/** What a daemon says that has made a mistake, and goes on. */
const FORGOTTEN = /a failure that nobody waited for|an exception that nobody caught/;

export interface DaemonOptions {
  /** Such mistakes are what the test is about. */
  readonly faulty?: boolean;
  /** More TOML, before any table. */
  readonly top?: string;
  /** More TOML, after the `[server]` table. */
  readonly toml?: string;
  /** More lines of the `[server]` table. */
  readonly server?: string;
  /** HOST:PORT for metrics and health; unset: none. */
  readonly http?: string;
  /** More addresses to listen on, beside the unix socket. */
  readonly listen?: readonly string[];
  /** Instead of one root `images` in the daemon's folder. */
  readonly roots?: string;
  /** Instead of `state` in the daemon's folder. */
  readonly stateFolder?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Words before the daemon's, such as `ip netns exec NAME`. */
  readonly within?: readonly string[];
  /** Run the daemon as another user; it needs a `program` that it can reach: program.ts. */
  readonly uid?: number;
  /** Instead of the checkout's. */
  readonly program?: string;
  /**
   * So long one turn of its main thread may take, in ms of that thread's processor time; unset: 50.
   */
  readonly heldMs?: number;
}

/** Daemons whose output has not ended. */
const open = new Map<Daemon, Promise<unknown>>();
const runs = ({ process: { exitCode, signalCode } }: Daemon) => exitCode === null && signalCode === null;

/** Waits for the logs of daemons that have ended, and ends those that have not: their folders. */
export async function allEnded(): Promise<string[]> {
  const left = [...open.keys()].filter(runs);
  for (const daemon of left) daemon.process.kill('SIGKILL');
  await Promise.all(open.values());
  return left.map(({ folder }) => folder);
}

/**
 * Ends what a failed test has left at work in every daemon, so that the next test finds none of it.
 */
export async function settle(): Promise<void> {
  for (const daemon of [...open.keys()].filter(runs)) {
    const { operations = [] } = (await daemon.stranger.unary(
      'OperationService/ListOperations',
      { filter: { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] }, page_size: 1000 },
      { deadline: Date.now() + SETTLE_MS },
    )) as { operations?: Message[] };
    for (const { operation_id } of operations)
      await daemon.stranger.unary(
        'OperationService/CancelOperation',
        { operation_id },
        { deadline: Date.now() + SETTLE_MS },
      );
    for (const name of await daemon.leftovers()) await rm(daemon.image(name), { recursive: true, force: true });
  }
}

export class Daemon {
  log = '';
  readonly stranger: Stranger;

  private constructor(
    readonly folder: string,
    readonly process: ChildProcess,
    readonly exited: Promise<number | null>,
  ) {
    this.stranger = new Stranger(this.address);
  }

  /** Starts a daemon in the folder, with images in `folder/images`. */
  static async start(folder: string, options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = await Daemon.spawn(folder, options);
    try {
      await daemon.serving();
    } catch (error) {
      daemon.process.kill('SIGKILL');
      await daemon.exited;
      throw error;
    }
    return daemon;
  }

  /** Starts it without waiting for SERVING. */
  static async spawn(folder: string, options: DaemonOptions = {}): Promise<Daemon> {
    await mkdir(join(folder, 'images'), { recursive: true });
    const config = join(folder, 'hostler.toml');
    const roots = options.roots ?? `[[roots]]\npath = "${folder}/images"\n`;
    const listen = JSON.stringify([`unix://${folder}/s.sock`, ...(options.listen ?? [])]);
    const server = `[server]\nlisten = ${listen}\nhttp = "${options.http ?? ''}"\n${options.server ?? ''}\n`;
    await writeFile(
      config,
      `state_dir = "${options.stateFolder ?? `${folder}/state`}"\n${options.top ?? ''}${server}${options.toml ?? ''}\n${roots}`,
    );
    const [command, ...words] = [...(options.within ?? []), options.program ?? HOSTLERD, '--config', config];
    const child = spawn(command, words, {
      // Another user's may reach nothing of the checkout.
      env: {
        ...process.env,
        ...(options.uid === undefined ? watchdogEnvironment(options.heldMs) : {}),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const daemon = new Daemon(folder, child, exited);
    open.set(daemon, new Promise((resolve) => child.once('close', resolve)));
    child.once('close', () => {
      open.delete(daemon);
      daemon.#searchLogs(config);
      // Fails whichever test runs now: a daemon goes on after this, with a promise that it has
      // forgotten.
      if (options.faulty !== true && FORGOTTEN.test(daemon.log)) throw new Error(daemon.log);
    });
    let serves = false;
    child.stdout.on('data', (chunk: Buffer) => {
      daemon.log += chunk.toString();
      // The whole log at each of its lines would slow down every other measure of a test.
      if (serves || !daemon.log.includes('"SERVING"')) return;
      serves = true;
      watchServing(child.pid);
    });
    child.stderr.on('data', (chunk: Buffer) => (daemon.log += chunk.toString()));
    return daemon;
  }

  /** When it has ended: its log, and its audit log if it has one. */
  #searchLogs(config: string): void {
    searchLog(this.folder, this.log);
    const audit = /^\[audit\]\nfile = "(.*)"$/m.exec(existsSync(config) ? readFileSync(config, 'utf8') : '')?.[1];
    if (audit === undefined || !existsSync(audit) || !statSync(audit).isFile()) return;
    searchLog(audit, readFileSync(audit, 'utf8'));
  }

  get address(): string {
    return `unix://${this.folder}/s.sock`;
  }

  /** HOST:PORT of the first TCP address. */
  get tcp(): string {
    const serving = this.records().find(({ message }) => message === 'SERVING') as { addresses: string[] } | undefined;
    const address = serving?.addresses.find((each) => each.startsWith('tcp:'));
    if (address === undefined) throw new Error('the daemon listens on no TCP address');
    return address.slice('tcp://'.length);
  }

  /** Where it answers over HTTP: metrics and health. */
  get http(): string {
    const serving = this.records().find(({ message }) => message === 'SERVING') as { addresses: string[] } | undefined;
    const origin = serving?.addresses.find((each) => each.startsWith('http:'));
    if (origin === undefined) throw new Error('the daemon does not listen for HTTP');
    return origin;
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.http}/metrics`)).text();
  }

  image(name: string): string {
    return join(this.folder, 'images', name);
  }

  async serving(): Promise<void> {
    for (let tries = 0; !this.log.includes('"SERVING"'); tries++) {
      if (tries > START_TRIES || this.process.exitCode !== null)
        throw new Error(`the daemon does not serve:\n${this.log}`);
      await sleep(LOOK_MS);
    }
  }

  /** Waits for a line in the log, after so much of it. */
  async logged(pattern: RegExp, from = 0): Promise<void> {
    for (let tries = 0; !pattern.test(this.log.slice(from)); tries++) {
      if (tries > START_TRIES || this.process.exitCode !== null)
        throw new Error(`no ${String(pattern)} in:\n${this.log}`);
      await sleep(LOOK_MS);
    }
  }

  /** Lines of the log as objects. */
  records(): Record<string, unknown>[] {
    return this.log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Private folders of operations that are still in the images folder. */
  leftovers(folder = join(this.folder, 'images')): Promise<string[]> {
    return leftovers(folder);
  }

  /** SIGTERM, then its exit code. */
  async stop(): Promise<number | null> {
    this.stranger.close();
    this.process.kill('SIGTERM');
    return this.exited;
  }
}

/** A daemon for a whole suite. Call inside describe(). */
export function suiteDaemon(
  scratch: Scratch,
  options: DaemonOptions | (() => DaemonOptions) = {},
): { readonly get: () => Daemon } {
  let daemon: Daemon | undefined;
  before(async () => {
    const started = await Daemon.start(scratch.path('daemon'), typeof options === 'function' ? options() : options);
    daemon = started;
    scratch.onEnd(() => started.stop());
  });
  return {
    get() {
      if (daemon === undefined) throw new Error('the daemon has not started');
      return daemon;
    },
  };
}
