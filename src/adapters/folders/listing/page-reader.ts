/** One page of a folder, read in steps. Makes synchronous calls, for the listing thread. */
import { closeSync, constants, fstatSync, lstatSync, opendirSync, openSync, type BigIntStats, type Dir } from 'node:fs';
import { bytesOf, namesAsBytes } from '../../linux/names-as-bytes.js';
import { below } from '../../trees/folder-bytes.js';
import { Turn } from '../../trees/turn.js';
import { NameCollector, namesAfter, type NameWindow } from './name-window.js';
import { stampOf, type FolderStamp, type WindowStore } from './window-store.js';

export interface PageJob {
  /** Descriptor of the folder, which is open until the first step has ended. */
  readonly fd: number;
  readonly device: bigint;
  readonly inode: bigint;
  /** One character for each byte; see `name-window.ts`. */
  readonly after: string | undefined;
  readonly size: number;
  /** Names that are left out, and prefixes of names that are left out. */
  readonly hidden: readonly string[];
  readonly hiddenPrefix: string;
}

/** Names with their stats. Entries that were removed since the folder was read are left out. */
export interface NamedStats {
  readonly found: readonly { readonly name: string; readonly stat: BigIntStats }[];
  readonly more: boolean;
  /** The last name that was examined, also if its entry was removed. */
  readonly last: string | undefined;
}

const OPEN = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK;
/** Entries in one read from the kernel. */
const NAMES_AT_ONCE = 1024;
/** Memory limit of one window: about 350,000 names of 20 bytes. */
const WINDOW_BYTES = 20 * 1024 * 1024;

/** Reads one page. Each `step` takes about 20 ms; only sorting a large folder takes longer. */
export class PageReader {
  readonly #fd: number;
  readonly #steps: Generator<undefined, NamedStats>;

  /** Fails with system errors. */
  constructor(
    private readonly job: PageJob,
    private readonly windows: WindowStore,
  ) {
    this.#fd = openSync(`/proc/self/fd/${String(job.fd)}`, OPEN);
    this.#steps = this.#read();
  }

  /** Undefined: another step is needed. Fails with system errors. */
  step(): NamedStats | undefined {
    const { value } = this.#steps.next();
    return value;
  }

  /** Closes the open descriptors. */
  end(): void {
    this.#steps.return({ found: [], more: false, last: undefined });
    closeSync(this.#fd);
  }

  *#read(): Generator<undefined, NamedStats> {
    const { job } = this;
    const folder = fstatSync(this.#fd, { bigint: true });
    if (folder.dev !== job.device || folder.ino !== job.inode) throw new Error('another folder is open');
    const stamp = stampOf(folder);
    const window = this.windows.find(stamp, job.after) ?? (yield* this.#collect(stamp));
    const { names, more } = namesAfter(window, job.after, job.size);
    const found: { name: string; stat: BigIntStats }[] = [];
    const turn = new Turn();
    for (const name of names) {
      const stat = lstatSync(below(this.#fd, Buffer.from(name, 'latin1')), { bigint: true, throwIfNoEntry: false });
      if (stat !== undefined) found.push({ name, stat });
      if (turn.isOver()) yield;
    }
    return { found, more, last: names.at(-1) };
  }

  *#collect(stamp: FolderStamp): Generator<undefined, NameWindow> {
    const collector = new NameCollector(this.job.after, WINDOW_BYTES);
    const hidden = new Set(this.job.hidden);
    const open: Dir = opendirSync(`/proc/self/fd/${String(this.#fd)}`, namesAsBytes(NAMES_AT_ONCE));
    try {
      const turn = new Turn();
      for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
        const name = bytesOf(entry).toString('latin1');
        if (!name.startsWith(this.job.hiddenPrefix) && !hidden.has(name)) collector.add(name);
        if (turn.isOver()) yield;
      }
    } finally {
      open.closeSync();
    }
    const window = collector.window();
    this.windows.keep(stamp, window);
    return window;
  }
}
