/**
 * Names of a folder in byte order. A name is a string with one character for each byte: not every
 * name is UTF-8, and such strings sort in byte order.
 */
import { isPlanted } from '../../../domain/model/planted-faults.js';

/** Consecutive names in the order: all names of the folder between both ends. */
export interface NameWindow {
  /** The window begins after this name; unset: at the first name. */
  readonly after: string | undefined;
  /** In byte order. */
  readonly names: readonly string[];
  /** Whether the window ends with the folder's last name. */
  readonly toTheEnd: boolean;
  /** Approximate memory of the window. */
  readonly bytes: number;
}

/** Overhead of a string beyond its characters, with its slot in an array. */
const STRING_BYTES = 40;

/** Collects the smallest names after a given one, whatever the size of the folder. */
export class NameCollector {
  #names: string[] = [];
  #bytes = 0;
  /** Names larger than this are not collected. */
  #limit: string | undefined;

  /** @param maxBytes of the finished window; up to twice as much while collecting */
  constructor(
    private readonly after: string | undefined,
    private readonly maxBytes: number,
  ) {}

  add(name: string): void {
    if (this.after !== undefined && name <= this.after) return;
    if (this.#limit !== undefined && name > this.#limit) return;
    this.#names.push(name);
    this.#bytes += sizeOf(name);
    if (this.#bytes > 2 * this.maxBytes) this.#cut();
  }

  /** Holds at least one name, if the folder has one after the start. */
  window(): NameWindow {
    this.#cut();
    const { after } = this;
    return { after, names: this.#names, toTheEnd: this.#limit === undefined, bytes: this.#bytes };
  }

  #cut(): void {
    // The default sort compares character codes, which are the bytes.
    this.#names.sort();
    let [count, bytes] = [0, 0];
    for (const name of this.#names) {
      if (count > 0 && bytes + sizeOf(name) > this.maxBytes) break;
      count += 1;
      bytes += sizeOf(name);
    }
    this.#bytes = bytes;
    if (count === this.#names.length) return;
    this.#names.length = count;
    this.#limit = this.#names.at(-1);
  }
}

function sizeOf(name: string): number {
  return name.length + STRING_BYTES;
}

/** Whether the window holds the name after this one, or shows that there is none. */
export function holdsNext({ after, names, toTheEnd }: NameWindow, name: string | undefined): boolean {
  if (after !== undefined && (name === undefined || name < after)) return false;
  const last = names.at(-1);
  return toTheEnd || (last !== undefined && (name === undefined || name < last));
}

/**
 * The next names after this one, at most `limit`, from a window that holds them; and whether more
 * follow.
 */
export function namesAfter(
  { names, toTheEnd }: NameWindow,
  name: string | undefined,
  count: number,
): { readonly names: readonly string[]; readonly more: boolean } {
  const next = name === undefined ? 0 : firstAfter(names, name);
  const from = isPlanted('page-repeats-entry') ? Math.max(0, next - 1) : next;
  const to = Math.min(from + count, names.length);
  return { names: names.slice(from, to), more: to < names.length || !toTheEnd };
}

function firstAfter(names: readonly string[], name: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] ?? '') <= name) low = middle + 1;
    else high = middle;
  }
  return low;
}
