import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Dependants, DependantsFound, NameChange, Unseen } from '../../domain/ports/changes.js';
import { asHostlerError } from '../../domain/model/errors.js';
import { deferred, type Deferred } from '../../domain/model/async.js';
import { errorText } from '../telemetry/log.js';
import type { BadFile, Claimant } from './bad-files.js';
import type { PlaceOfImages } from './root-calls.js';
import type { FoundDependants } from './root-index.js';
import type { IndexJob, IndexMessage, IndexQuestion, IndexSubject } from './root-index-worker.js';
import { asked } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

/** The default heap of a thread is sized for a whole program. */
const YOUNG_MIB = 2;
const STALLED = 'it does not answer';
const WORKER = new URL('./root-index-worker.js', import.meta.url);

export interface ImageIndexOptions {
  readonly roots: readonly RootToIndex[];
  /** Folders that are left out, such as the daemon's state folder. */
  readonly closed: readonly string[];
  /**
   * Whether a file is a raw disk, whose bytes belong to a guest: a backing file that it names does
   * not count.
   */
  isRaw(file: Claimant): boolean;
  /** How long a root may be silent before it counts as not answering. */
  readonly patienceMs: number;
  /** Called for each bad file at each scan. */
  onBad(bad: BadFile): void;
  readonly log: {
    stalled(root: string): void;
    failed(root: string, text: string): void;
    /** Called once for each place. */
    unseen(root: string, unseen: Unseen): void;
  };
}

/** A root at its real path, and its current identity. */
export interface RootToIndex {
  readonly path: string;
  readonly identity: FileIdentity;
  readonly holds: PlaceOfImages;
  /**
   * Why files that the root held in an earlier run of the daemon are not visible now; undefined if
   * they are.
   */
  absent(): string | undefined;
  /**
   * Updates the root to what is mounted there now; `identity` may then change. Fails if that cannot
   * be determined.
   */
  follow(): Promise<void>;
}

/**
 * Which images of the roots are backed by others. A thread for each root keeps its index up to
 * date.
 */
export class ImageIndex implements Dependants {
  readonly #roots: readonly IndexedRoot[];

  constructor(private readonly options: ImageIndexOptions) {
    this.#roots = options.roots.map((root) => new IndexedRoot(root, options));
  }

  /** Starts the first scan in the background; a question starts it as well. */
  start(): void {
    for (const root of this.#roots) root.start();
  }

  /**
   * A root that does not answer is named in the result, so that results of other roots need not
   * wait for it.
   */
  of({ device, inode }: FileIdentity): Promise<DependantsFound> {
    return this.#askAll({ file: { device, inode } });
  }

  async onName({ handle, name }: Parameters<Dependants['onName']>[0], change: NameChange): Promise<DependantsFound> {
    const folder = await asked(handle, () => readlink(procPath({ handle })));
    return this.#askAll({ place: join(folder, name), change });
  }

  async #askAll(subject: IndexSubject): Promise<DependantsFound> {
    const answers = await Promise.all(this.#roots.map((root) => root.ask(subject)));
    // Roots may be nested, so an image can be found twice.
    const claimants = answers.flatMap((each) => each.found).filter((each) => !this.options.isRaw(each.file));
    const found = [...new Map(claimants.map((each) => [each.path, each])).values()];
    const unseen = answers.flatMap((each) => each.unseen);
    return unseen.length === 0 ? { known: true, found } : { known: false, found, unseen };
  }
}

class IndexedRoot {
  #worker: Worker | undefined;
  readonly #asked = new Map<number, Deferred<FoundDependants>>();
  #next = 0;
  #heardAt = Date.now();
  #stalled = false;
  #reported: ReadonlySet<string> = new Set();
  /** Identity of the root when its filesystem is mounted. */
  #first: FileIdentity | undefined;

  constructor(
    private readonly root: RootToIndex,
    private readonly options: ImageIndexOptions,
  ) {
    if (root.absent() === undefined) this.#first = root.identity;
  }

  /** The result if the whole root could not be scanned. */
  #nothing(why: string): FoundDependants {
    return { found: [], unseen: [{ place: this.root.path, why, whole: true }] };
  }

  start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const { path, identity, holds } = this.root;
    const job: IndexJob = { root: path, identity, closed: this.options.closed, holds };
    const worker = new Worker(WORKER, { workerData: job, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    worker.unref();
    worker.on('message', (message: IndexMessage) => {
      this.#hear(message);
    });
    worker.on('error', (error: unknown) => {
      // The next question starts another thread.
      this.#worker = undefined;
      this.options.log.failed(this.root.path, errorText(error) ?? 'unknown');
      for (const answer of this.#asked.values()) answer.resolve(this.#nothing('it could not be read'));
    });
    this.#worker = worker;
    return worker;
  }

  async ask(subject: IndexSubject): Promise<FoundDependants> {
    // While the root is stalled, questions do not wait for it.
    if (this.#stalled) return this.#nothing(STALLED);
    // A root that cannot be followed is still scanned: its thread reports what it finds.
    await this.root.follow().catch((error: unknown) => this.#notFollowed(error));
    const question: IndexQuestion = { ...subject, id: this.#next++, root: this.root.identity };
    const answer = deferred<FoundDependants>();
    this.#asked.set(question.id, answer);
    this.#heardAt = Math.max(this.#heardAt, Date.now());
    this.start().postMessage(question);
    const { patienceMs } = this.options;
    const watch = setInterval(() => {
      if (Date.now() - this.#heardAt <= patienceMs) return;
      this.#stalled = true;
      this.options.log.stalled(this.root.path);
      answer.resolve(this.#nothing(STALLED));
    }, patienceMs / 4);
    try {
      return this.#withCovered(await answer.promise);
    } finally {
      clearInterval(watch);
      this.#asked.delete(question.id);
    }
  }

  /**
   * Files that lay in the root at the start may be hidden by another filesystem now: they must not
   * count as removed.
   */
  #withCovered({ found, unseen }: FoundDependants): FoundDependants {
    const { device, inode } = this.root.identity;
    const absent = this.root.absent();
    if (absent === undefined) this.#first ??= { device, inode };
    if (device === this.#first?.device && inode === this.#first.inode) return { found, unseen };
    const why = absent ?? 'another filesystem is mounted there than at the start';
    return { found, unseen: [...unseen, { place: this.root.path, why, whole: true }] };
  }

  #notFollowed(error: unknown): void {
    if (!['ROOT_STALLED', 'ROOT_UNAVAILABLE'].includes(asHostlerError(error).reason))
      this.options.log.failed(this.root.path, errorText(error) ?? 'unknown');
  }

  #hear(message: IndexMessage): void {
    this.#heardAt = Date.now();
    this.#stalled = false;
    if (message.kind === 'beat') return;
    if (message.kind === 'bad') {
      this.options.onBad(message.bad);
      return;
    }
    if (message.kind === 'failed') {
      this.options.log.failed(this.root.path, message.text);
      this.#asked.get(message.id)?.resolve(this.#nothing('it could not be read'));
      return;
    }
    this.#tell(message.unseen);
    if (message.kind === 'looked') return;
    this.#asked.get(message.id)?.resolve(message);
  }

  /**
   * Reports a place once. A place that became visible again is reported again at its next failure.
   */
  #tell(unseen: readonly Unseen[]): void {
    for (const each of unseen) if (!this.#reported.has(each.place)) this.options.log.unseen(this.root.path, each);
    this.#reported = new Set(unseen.map(({ place }) => place));
  }
}
