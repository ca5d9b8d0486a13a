/**
 * Mixed work by several callers at once, and what every path may hold after it: whatever happens to
 * the daemon meanwhile.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { Daemon } from './daemon.js';
import { tryRun } from './shell.js';
import { CallError, type Message, type Stranger } from './stranger.js';
import { until } from './until.js';

const UNREACHABLE: number = status.UNAVAILABLE;
const MIB = 1 << 20;
const WORKERS = 4;
/** Kinds of lives that a path can have. */
const LIVES = 8;
/** So many of the last acknowledged operations are asked for afterwards. */
const LAST = 20;

/** What a path may hold. */
export type Content =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'raw' | 'qcow2'; readonly fixture: string }
  | { readonly kind: 'size'; readonly bytes: number };

/**
 * The contents of a path one after the other. The one at `acked` was acknowledged; those behind it
 * may have come or not.
 */
interface History {
  readonly contents: Content[];
  acked: number;
}

/** A request whose success was acknowledged, and who made it: ids are a caller's own. */
interface Acknowledged {
  readonly by: Caller;
  readonly operationId: string;
  readonly rpc: string;
  readonly request: Message;
}

/** Who calls, on a line that may break. */
export interface Caller {
  readonly stranger: (daemon: Daemon) => Stranger;
  readonly cutLine: () => void;
}

const SHARED: Caller = { stranger: (daemon) => daemon.stranger, cutLine: () => undefined };

export interface WorkloadOptions {
  /** Each works beside the others; unset: four that are one caller to the daemon. */
  readonly callers?: readonly Caller[];
  /** Serves the fixtures by their names; unset: no transfers, so that nothing is kept of any. */
  readonly origin?: string;
  /** The folder in which paths come and go, and that of the sources `a` and `b`. */
  readonly images: string;
  readonly fixtures: string;
  readonly random: () => number;
  /** Calls are cancelled, or left by their caller, now and then. */
  readonly cancels: boolean;
  /** Hears of each call that failed. */
  readonly onFailure: (error: CallError, rpc: string) => void;
}

/** What may be on a disk, as of one moment. */
export interface Snapshot {
  readonly allowed: ReadonlyMap<string, readonly Content[]>;
  readonly succeeded: readonly Acknowledged[];
}

export class Workload {
  readonly #histories = new Map<string, History>();
  readonly #succeeded: Acknowledged[] = [];
  #next = 0;
  #isOver = false;
  #daemon: Daemon | undefined;
  /** Calls whose success was acknowledged. */
  done = 0;

  constructor(private readonly options: WorkloadOptions) {}

  /** Works on a daemon until `stop`; another may take its place meanwhile. */
  async run(daemon: Daemon): Promise<void> {
    this.#isOver = false;
    this.#daemon = daemon;
    const callers = this.options.callers ?? Array<Caller>(WORKERS).fill(SHARED);
    await Promise.all(callers.map((caller) => this.#work(caller)));
  }

  use(daemon: Daemon): void {
    this.#daemon = daemon;
  }

  /** No more calls begin; those that are under way end as they end. */
  stop(): void {
    this.#isOver = true;
  }

  /**
   * What was acknowledged before `act` is there afterwards; what came meanwhile, or was under way,
   * may be.
   */
  async around(act: () => Promise<unknown>): Promise<Snapshot> {
    const succeeded = this.#succeeded.slice(-LAST);
    const acked = new Map([...this.#histories].map(([path, history]) => [path, history.acked]));
    await act();
    const possible = [...this.#histories].map(
      ([path, { contents }]) => [path, contents.slice(acked.get(path) ?? 0)] as const,
    );
    return { allowed: new Map(possible), succeeded };
  }

  /**
   * Forgets all paths, which must hold what they may; removes what is there. Complaints, a line
   * each.
   */
  async settle(): Promise<string[]> {
    const { allowed } = await this.around(() => Promise.resolve());
    const complaints = await complaintsAbout(allowed);
    for (const path of allowed.keys()) await rm(path, { force: true });
    this.#histories.clear();
    this.#succeeded.length = 0;
    return complaints;
  }

  async #work(caller: Caller): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#life(caller);
      } catch (error) {
        // This path is left as it is; what it may hold is known.
        if (!(error instanceof CallError)) throw error;
        await sleep(20);
      }
    }
  }

  /** A path of its own through its life. */
  async #life(caller: Caller): Promise<void> {
    const { random, images, fixtures, origin } = this.options;
    const number = String(this.#next++);
    const name = random() < 0.5 ? 'a' : 'b';
    const fixture = `${fixtures}/${name}`;
    const path = `${images}/i${number}`;
    const change = (content: Content, rpc: string, request: Message) =>
      this.#change(caller, path, content, rpc, request);
    const convert = { source: fixture, source_format: 'raw', target: path, target_format: 'qcow2' };
    switch (Math.floor(random() * LIVES)) {
      case 0:
        await change({ kind: 'raw', fixture }, 'ImageService/CopyImage', { source: fixture, target: path });
        break;
      case 1: {
        await change({ kind: 'qcow2', fixture }, 'ImageService/ConvertImage', convert);
        const other = { ...convert, source: `${fixtures}/a`, overwrite: true };
        await change({ kind: 'qcow2', fixture: other.source }, 'ImageService/ConvertImage', other);
        break;
      }
      case 2:
        for (const [index, bytes] of [8 * MIB, 16 * MIB, 24 * MIB].entries()) {
          const rpc = `ImageService/${index === 0 ? 'Create' : 'Resize'}Image`;
          await change({ kind: 'size', bytes }, rpc, { path, format: 'qcow2', virtual_size_bytes: String(bytes) });
        }
        break;
      case 3:
        await change({ kind: 'qcow2', fixture }, 'ImageService/ConvertImage', convert);
        for (const verb of ['Create', 'Revert', 'Delete'])
          await change({ kind: 'qcow2', fixture }, `ImageService/${verb}Snapshot`, {
            ...{ path, format: 'qcow2', snapshot: 'one' },
          });
        break;
      case 4:
        await this.#overlaid(caller, path, fixture);
        break;
      case 5:
        if (origin === undefined) return;
        await change({ kind: 'qcow2', fixture }, 'ImageService/FetchImage', {
          source: { http: { url: `${origin}/${name}` } },
          ...{ source_format: 'raw', target: path, target_format: 'qcow2', use_cache: true },
          checksum: sha256(await readFile(fixture)),
        });
        break;
      case 6:
        if (origin === undefined) return;
        await this.#upload(caller, path, fixture);
        break;
      default:
        for (let n = 0; n < 4; n++)
          await this.#write(caller, path, `${number} ${String(n)} `.repeat(1 + Math.floor(random() * 2000)));
    }
    await change({ kind: 'nothing' }, 'ImageService/DeleteImage', { path });
  }

  /** An overlay of a base of its own, which stays while it is needed and goes afterwards. */
  async #overlaid(caller: Caller, path: string, fixture: string): Promise<void> {
    const base = `${path}-base`;
    const content: Content = { kind: 'qcow2', fixture };
    await this.#change(caller, base, content, 'ImageService/ConvertImage', {
      ...{ source: fixture, source_format: 'raw', target: base, target_format: 'qcow2' },
    });
    await this.#change(caller, path, content, 'ImageService/CreateOverlay', {
      ...{ path, backing_file: base, backing_format: 'qcow2' },
    });
    const refused = await caller
      .stranger(this.#now)
      .all('ImageService/DeleteImage', { path: base })
      .then(
        () => 'OK',
        (error: unknown) => (error instanceof CallError ? error.reason : String(error)),
      );
    if (refused === 'OK') throw new Error(`${base} was removed, and ${path} needs it`);
    // Flattened it needs none; the name says so.
    await this.#change(caller, path, content, 'ImageService/RebaseImage', { path, format: 'qcow2', backing_file: '' });
    await this.#change(caller, base, { kind: 'nothing' }, 'ImageService/DeleteImage', { path: base });
  }

  async #upload(caller: Caller, path: string, fixture: string): Promise<void> {
    const data = await readFile(fixture);
    const acknowledge = this.#begin(path, { kind: 'raw', fixture });
    const start = { target: path, format: 'raw', length_bytes: String(data.length) };
    const { upload_id } = await this.#heard(
      'ImageService/StartUpload',
      caller.stranger(this.#now).unary('ImageService/StartUpload', start),
    );
    const half = data.length / 2;
    const messages = [
      { header: { upload_id, offset: '0' } },
      { data: data.subarray(0, half) },
      { data: data.subarray(half) },
      { checksum: sha256(data) },
    ];
    const rpc = 'ImageService/UploadImage';
    await this.#heard(rpc, caller.stranger(this.#now).send(rpc, messages));
    acknowledge();
  }

  /** A path holds something else once that is acknowledged, and may from now on. */
  async #change(caller: Caller, path: string, content: Content, rpc: string, request: Message): Promise<void> {
    const acknowledge = this.#begin(path, content);
    const whole = { ...request, request_id: `r${String(this.#next++)}` };
    const events = await this.#call(caller, rpc, whole);
    acknowledge();
    this.#succeeded.push({
      by: caller,
      operationId: (events.at(-1) as { operation_id: string }).operation_id,
      rpc,
      request: whole,
    });
  }

  async #write(caller: Caller, path: string, text: string): Promise<void> {
    const acknowledge = this.#begin(path, { kind: 'text', text });
    const rpc = 'FileService/WriteFile';
    const messages = [{ header: { path } }, { data: Buffer.from(text) }];
    await this.#heard(rpc, caller.stranger(this.#now).send(rpc, messages));
    acknowledge();
  }

  #begin(path: string, content: Content): () => void {
    const history = this.#histories.get(path) ?? { contents: [{ kind: 'nothing' }], acked: 0 };
    this.#histories.set(path, history);
    const index = history.contents.push(content) - 1;
    return () => {
      history.acked = index;
      this.done += 1;
    };
  }

  /**
   * All events of a call that its caller may leave, or have cancelled, or that may pass its
   * deadline, or whose line may break.
   */
  async #call(caller: Caller, rpc: string, request: Message): Promise<Message[]> {
    const { random, cancels } = this.options;
    const fate = cancels ? random() : 1;
    const stranger = caller.stranger(this.#now);
    const deadline = fate < 0.1 ? { deadline: Date.now() + Math.floor(random() * 300) } : {};
    if (fate >= 0.1 && fate < 0.2) {
      const label = `c${String(this.#next++)}`;
      setTimeout(() => {
        stranger.unary('OperationService/CancelOperation', { labels: { [label]: '1' } }).catch((error: unknown) => {
          if (error instanceof CallError) this.options.onFailure(error, 'OperationService/CancelOperation');
        });
      }, random() * 100);
      return this.#heard(rpc, stranger.all(rpc, { ...request, labels: { [label]: '1' } }));
    }
    if (fate >= 0.2 && fate < 0.25) setTimeout(caller.cutLine, random() * 100);
    return this.#heard(rpc, stranger.all(rpc, request, deadline));
  }

  async #heard<T>(rpc: string, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof CallError && !this.#isOver) this.options.onFailure(error, rpc);
      throw error;
    }
  }

  get #now(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon was given');
    return this.#daemon;
  }
}

const sha256 = (data: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(data).digest('hex') });

/** What is wrong with a disk on which a daemon has started again, a line each. */
export async function complaintsOf({ allowed, succeeded }: Snapshot, daemon: Daemon): Promise<string[]> {
  const complaints = await complaintsAbout(allowed);
  await until(() => answers(daemon));
  for (const { by, operationId, rpc, request } of succeeded) {
    const { operation } = await daemon.stranger.unary('OperationService/GetOperation', { operation_id: operationId });
    const state = ((operation as Message)['last'] as Message)['state'];
    if (state !== 'OPERATION_STATE_SUCCEEDED')
      complaints.push(`${rpc} ${operationId} was acknowledged and is ${String(state)}`);
    const again = (await overAnyLine(() => by.stranger(daemon).operation(rpc, request))) as { replayed?: boolean };
    if (again.replayed !== true) complaints.push(`${rpc} ${operationId} was done again for its request id`);
  }
  return complaints;
}

/** Again when the line broke, which the work beside it has cut. */
async function overAnyLine<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CallError) || error.code !== UNREACHABLE || error.reason !== '') throw error;
      await sleep(50);
    }
  }
}

/**
 * Connections of one process to one address are shared, and one that broke is tried again after a
 * while only.
 */
async function answers(daemon: Daemon): Promise<boolean> {
  try {
    await daemon.stranger.unary('OperationService/ListOperations', { page_size: 1 });
    return true;
  } catch (error) {
    if (error instanceof CallError && error.code === UNREACHABLE) return false;
    throw error;
  }
}

async function complaintsAbout(allowed: Snapshot['allowed']): Promise<string[]> {
  const complaints: string[] = [];
  for (const [path, contents] of allowed)
    if (!(await holdsOneOf(path, contents))) complaints.push(`${path} holds none of ${JSON.stringify(contents)}`);
  return complaints;
}

async function holdsOneOf(path: string, contents: readonly Content[]): Promise<boolean> {
  for (const content of contents) if (await holds(path, content)) return true;
  return false;
}

async function holds(path: string, content: Content): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (content.kind === 'nothing' || found === undefined) return content.kind === 'nothing' && found === undefined;
  switch (content.kind) {
    case 'text':
      return (await readFile(path, 'latin1')) === content.text;
    case 'raw':
      return (await readFile(path)).equals(await readFile(content.fixture));
    case 'qcow2':
      return (
        (await tryRun('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', path, content.fixture])).code === 0
      );
    case 'size': {
      const { code, stdout } = await tryRun('qemu-img', ['info', '-f', 'qcow2', '--output=json', path]);
      return code === 0 && (JSON.parse(stdout) as { 'virtual-size': number })['virtual-size'] === content.bytes;
    }
  }
}
