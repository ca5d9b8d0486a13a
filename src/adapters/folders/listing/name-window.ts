/**
 * Names of a folder in the order of their bytes. A name is a string of a character a byte: not
 * every name is UTF-8, and the order of such strings is that of the bytes.
 */
import { isPlanted } from '../../../domain/model/planted-faults.js';

/** Names that follow each other in the order: all that the folder has between both ends. */
export interface NameWindow {
  /** The window begins after this name; unset: with the first one. */
  readonly after: string | undefined;
  /** Sorted. */
  readonly names: readonly string[];
  /** It ends with the folder's last name. */
  readonly toTheEnd: boolean;
  /** Memory that it takes, about. */
  readonly bytes: number;
}

/** What a string takes beside its characters, with its place in a list. */
const STRING_BYTES = 40;

/** Collects the smallest names after one, whatever the size of the folder. */
export class NameCollector {
  #names: string[] = [];
  #bytes = 0;
  /** No larger name gets in. */
  #limit: string | undefined;

  /** @param maxBytes of the window; while it collects, twice as many */
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

  /** At least one name, if there is any. */
  window(): NameWindow {
    this.#cut();
    const { after } = this;
    return { after, names: this.#names, toTheEnd: this.#limit === undefined, bytes: this.#bytes };
  }

  #cut(): void {
    // Without a comparison of ours: by the numbers of the characters, which are the bytes.
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

/** Whether the name after this one is in the window, or the window shows that there is none. */
export function holdsNext({ after, names, toTheEnd }: NameWindow, name: string | undefined): boolean {
  if (after !== undefined && (name === undefined || name < after)) return false;
  const last = names.at(-1);
  return toTheEnd || (last !== undefined && (name === undefined || name < last));
}

/** Of a window that holds the next name: so many names after this one; whether there are more. */
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
