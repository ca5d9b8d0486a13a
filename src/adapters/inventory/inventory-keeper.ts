/** Keeps one inventory up to date and answers questions about it, in its own thread. */
import { lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../linux/errno.js';
import { sizesOf } from '../linux/system-sizes.js';
import { look } from '../linux/sync-look.js';
import { Holds } from './holds.js';
import { inodeIn } from './image-facts.js';
import { InventoryFile, type StoredImage } from './inventory-file.js';
import { InventoryLook, RootGone, type FolderWatch } from './inventory-look.js';
import { Inotify } from './inotify.js';
import type { InventoryAnswer, InventoryJob, InventoryQuestion, Shown } from './messages.js';
import type { Region } from './region.js';

/** Maximum age of a scan without inotify. */
const FRESH_MS = 10_000;
/**
 * With inotify, the interval of scans for changes that it does not report: writes of a guest whose
 * disk stays open.
 */
const AGAIN_MS = 60_000;
/**
 * The pause after a full scan is 9 times its duration, so that scans take at most a tenth of the
 * time.
 */
const PAUSE_PER_LOOK = 9;
/** Interval of reading the inotify queue. */
const LISTEN_MS = 200;

/** Creates a folder in the state folder, which exists. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** Nova keeps files that belong to no instance in folders such as `_base`. */
function isOfInstance(folder: string, instances: string): boolean {
  if (!folder.startsWith(`${instances}/`)) return false;
  const [name = ''] = folder.slice(instances.length + 1).split('/');
  return !name.startsWith('_') && !name.startsWith('.');
}

const NO_WATCH: FolderWatch = { add: () => undefined, drop: () => undefined };

export interface KeeperEvents {
  beat(): void;
  /** Called when the inventory has changed. */
  moved(number: number): void;
  /** Called when background work failed; it is tried again. */
  failed(error: unknown): void;
}

/** One inventory, from `start` to `close`. Its calls block the thread that makes them. */
export class InventoryKeeper {
  readonly #file: InventoryFile;
  readonly #look: InventoryLook;
  readonly #holds = new Holds();
  readonly #inotify: Inotify | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = -Infinity;
  #lookTookMs = 0;
  #said = -1;
  /** Work on the file runs one piece after the other. */
  #work: Promise<void> = Promise.resolve();
  #stale = true;
  #again = false;
  #watchedUntil = -Infinity;

  constructor(
    private readonly job: InventoryJob,
    private readonly events: KeeperEvents,
  ) {
    const { root, identity, closed, file, local } = job;
    makeFolder(dirname(file));
    this.#file = InventoryFile.open(file, `${String(identity.device)}:${String(identity.inode)} ${root}`);
    this.#inotify = local ? Inotify.open() : undefined;
    this.#look = new InventoryLook(root, identity, closed, this.#file, this.#inotify ?? NO_WATCH, () => {
      events.beat();
      if (this.#said >= 0) this.#tell();
    });
  }

  /** Keeps the inventory up to date until `close`. */
  start(): void {
    this.#timer = setInterval(() => {
      const follows = this.#inotify?.complete === true && !this.#stale;
      if (!follows && Date.now() > this.#watchedUntil) return;
      this.#upToDate().catch((error: unknown) => {
        if (!(error instanceof RootGone)) this.events.failed(error);
      });
    }, LISTEN_MS);
  }

  /** Expects a watcher for this time from now on. */
  watched(ms: number): void {
    this.#watchedUntil = Date.now() + ms;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#inotify?.close();
    this.#file.close();
  }

  async answer(question: InventoryQuestion): Promise<InventoryAnswer> {
    try {
      if (!this.#hasNews(question)) await this.#upToDate();
      switch (question.kind) {
        case 'page':
          return this.#page(question);
        case 'changes':
          return this.#changes(question);
        case 'dependants':
          return { kind: 'dependants', counts: this.#dependants(question) };
      }
    } catch (error) {
      if (error instanceof RootGone) return { kind: 'gone', why: error.message };
      throw error;
    }
  }

  /**
   * Known changes are delivered first: while much changes, a scan takes longer than the interval of
   * the questions, and a watch would never finish.
   */
  #hasNews(question: InventoryQuestion): boolean {
    const isKnown = question.kind === 'changes' && question.since.number < this.#file.number;
    return isKnown && this.#lookedAt > -Infinity && !this.#stale;
  }

  #page({ region, from, limit, backedBy }: Extract<InventoryQuestion, { kind: 'page' }>): InventoryAnswer {
    const { life } = this.#file;
    if (from !== undefined && (from.life !== life || !this.#file.lists(from.number))) return { kind: 'too old', life };
    const { number, folder, name } = from ?? { number: this.#file.number, folder: '', name: '' };
    const rows = this.#file.page(region, number, { folder, name }, limit, backedBy);
    const images = rows.map((row) => ({ ...row, ...this.#shown(row, region) }));
    return { kind: 'page', life, number, images, unseen: this.#look.unseen };
  }

  #changes({ region, since, limit }: Extract<InventoryQuestion, { kind: 'changes' }>): InventoryAnswer {
    const { life } = this.#file;
    if (since.life !== life || !this.#file.knows(since.number)) return { kind: 'too old', life };
    const rows = this.#file.changes(region, since.number, limit);
    const upTo = rows.length < limit ? this.#file.number : (rows.at(-1)?.number ?? since.number);
    return { kind: 'changes', life, upTo, changes: rows.map((row) => ({ ...row, ...this.#shown(row, region) })) };
  }

  #dependants({ paths, inSight }: Extract<InventoryQuestion, { kind: 'dependants' }>): number[] {
    return paths.map((path) => this.#file.dependants(path, { path: '', flat: false, inSight }));
  }

  #shown({ folder, name, facts }: Omit<StoredImage, 'number'>, region: Region): Shown {
    if (facts === '') return { allocatedBytes: 0n, dependants: 0, orphaned: false };
    const path = `${folder}/${name}`;
    const stat = look(() => lstatSync(Buffer.from(path, 'latin1'), { bigint: true }));
    // The path may lead to another file by now.
    const isSame = stat !== undefined && inodeIn(facts) === String(stat.ino);
    const dependants = this.#file.dependants(path, region);
    const hold = isSame ? this.#holds.of(path, stat) : undefined;
    return {
      allocatedBytes: isSame ? sizesOf(stat).allocatedBytes : 0n,
      dependants,
      ...(hold === undefined ? {} : { hold }),
      orphaned: dependants === 0 && hold === undefined && !isOfInstance(folder, this.job.instances),
    };
  }

  /** Brings the inventory up to the current state of the disk, as far as possible. */
  #upToDate(): Promise<void> {
    const work = this.#work.then(async () => {
      try {
        await this.#catchUp();
      } catch (error) {
        // Each event is reported only once, so after a failure everything has to be scanned again.
        this.#stale = true;
        throw error;
      }
      this.#tell();
    });
    this.#work = work.catch(() => undefined); // the caller awaits `work`
    return work;
  }

  async #catchUp(): Promise<void> {
    const now = Date.now();
    const heard = this.#inotify?.read();
    const follows = this.#inotify?.complete === true;
    if (heard?.lost === true) this.#stale = true;
    const mayBeOld = Math.max(follows ? AGAIN_MS : FRESH_MS, this.#lookTookMs * PAUSE_PER_LOOK);
    const isOld = now - this.#lookedAt > mayBeOld;
    if (this.#stale || (isOld && !follows)) {
      await this.#lookAtAll(true);
      return;
    }
    if (isOld && !this.#again) this.#lookAgain();
    for (const [folder, names] of heard?.names ?? []) await this.#look.names(folder, [...names]);
  }

  async #lookAtAll(alone: boolean): Promise<void> {
    const begun = Date.now();
    await this.#look.all(alone);
    this.#stale = false;
    this.#lookedAt = Date.now();
    this.#lookTookMs = this.#lookedAt - begun;
  }

  /**
   * Runs beside the questions, which do not wait for it: each of its slices agrees with the disk.
   */
  #lookAgain(): void {
    this.#again = true;
    void this.#lookAtAll(false)
      .catch(() => {
        this.#stale = true; // if the cause persists, the next question fails with it
      })
      .finally(() => {
        this.#again = false;
      });
  }

  #tell(): void {
    if (this.#said === this.#file.number) return;
    this.#said = this.#file.number;
    this.events.moved(this.#said);
  }
}
