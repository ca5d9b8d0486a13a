import type { Extent } from '../gen/hostler/v1/image.js';
import { bytes } from './text.js';

const ROWS = 4;
const CELLS_IN_A_ROW = 64;
const MARKS = { data: '#', zero: '0', hole: '.', mixed: '+' } as const;

type Kind = Exclude<keyof typeof MARKS, 'mixed'>;

/** Data, allocated zeros, or a hole. */
export function kindOf({ data, zero }: Extent): Kind {
  if (!zero && data) return 'data';
  return zero && data ? 'zero' : 'hole';
}

/** A run of one kind. */
interface Run {
  readonly kind: Kind;
  readonly start: bigint;
  end: bigint;
}

/** Draws a disk extent by extent; adjacent extents of one kind are one run. */
export class ExtentDrawing {
  readonly #runs: Run[] = [];

  add(extent: Extent): void {
    const kind = kindOf(extent);
    const end = extent.offsetBytes + extent.lengthBytes;
    const last = this.#runs.at(-1);
    if (last?.kind === kind) last.end = end;
    else this.#runs.push({ kind, start: extent.offsetBytes, end });
  }

  /** Each cell is an equal part of the disk; `+` contains more than one kind. */
  toString(): string {
    const total = this.#runs.at(-1)?.end ?? 0n;
    if (total === 0n) return 'nothing';
    const cells = BigInt(ROWS * CELLS_IN_A_ROW);
    let first = 0;
    const drawn: string[] = [];
    for (let cell = 0n; cell < cells; cell++) {
      const [from, to] = [(total * cell) / cells, (total * (cell + 1n)) / cells];
      while ((this.#runs[first]?.end ?? total) <= from && first < this.#runs.length - 1) first++;
      const kinds = new Set<Kind>();
      for (let at = first; at < this.#runs.length; at++) {
        const run = this.#runs[at];
        if (run === undefined || (run.start >= to && to > from)) break;
        kinds.add(run.kind);
      }
      const [kind = 'hole'] = kinds;
      drawn.push(MARKS[kinds.size > 1 ? 'mixed' : kind]);
    }
    const rows = Array.from({ length: ROWS }, (_, row) => {
      const at = bytes((total * BigInt(row)) / BigInt(ROWS)).padStart(10);
      return `${at} |${drawn.slice(row * CELLS_IN_A_ROW, (row + 1) * CELLS_IN_A_ROW).join('')}|`;
    });
    return [...rows, `${' '.repeat(11)} # data  0 zeros on disk  . nothing  + several`].join('\n');
  }
}
