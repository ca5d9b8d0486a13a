/** The lines of `hostler top`, fitted to a terminal. */
import type { FilesystemInfo } from '../../gen/hostler/v1/host_info_service.js';
import { OperationState, type OperationEvent } from '../../gen/hostler/v1/operation.js';
import { phaseName, stateName } from '../names.js';
import { bytes, duration, printable } from '../text.js';

/** One unfinished operation. */
export interface TopOperation {
  readonly id: string;
  readonly method: string;
  readonly caller: string;
  readonly addresses: readonly string[];
  readonly event: OperationEvent | undefined;
  /** How long it has waited in the queue, or did before it ran, in ms; unset if that is unknown. */
  readonly waitedMs: number | undefined;
}

/** One root, and the space of its filesystem; `problem`, a reason, if that is unknown. */
export interface TopRoot {
  readonly path: string;
  readonly space: FilesystemInfo | undefined;
  readonly problem: string;
}

/** One moment of a host. */
export interface Moment {
  readonly address: string;
  readonly time: Date;
  readonly operations: readonly TopOperation[];
  /** Operations that have ended since the start of the watch. */
  readonly ended: { readonly succeeded: number; readonly failed: number; readonly cancelled: number };
  readonly roots: readonly TopRoot[];
  /** How to leave it; empty if it ends by itself. */
  readonly hint: string;
}

interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => string;
  /** Columns with a higher rank are dropped first if there is little room. */
  readonly rank: number;
  readonly isRight?: true;
}

const GAP = 2;
/** The last column is cut, but never below this. */
const MIN_LAST = 10;

const OPERATIONS: readonly Column<TopOperation>[] = [
  { title: 'OPERATION', of: ({ id }) => id, rank: 6 },
  { title: 'METHOD', of: ({ method }) => method, rank: 1 },
  { title: 'DOING', of: ({ event }) => doing(event), rank: 3 },
  { title: 'WAITED', of: waited, rank: 3, isRight: true },
  { title: 'DONE', of: ({ event }) => percent(event), rank: 0, isRight: true },
  { title: 'RATE', of: ({ event }) => rate(event), rank: 2, isRight: true },
  { title: 'LEFT', of: ({ event }) => left(event), rank: 2, isRight: true },
  { title: 'CALLER', of: ({ caller }) => caller, rank: 5 },
  { title: 'PATHS', of: ({ addresses }) => addresses.join(' '), rank: 4 },
];

const ROOTS: readonly Column<TopRoot>[] = [
  { title: 'FREE', of: ({ space }) => (space === undefined ? '' : bytes(space.freeBytes)), rank: 0, isRight: true },
  { title: 'OF', of: ({ space }) => (space === undefined ? '' : bytes(space.totalBytes)), rank: 2, isRight: true },
  {
    title: 'RESERVED',
    of: ({ space }) => (space === undefined ? '' : bytes(space.reservedBytes)),
    rank: 3,
    isRight: true,
  },
  { title: 'MAY GROW BY', of: growth, rank: 4, isRight: true },
  { title: 'PRESSURE', of: pressure, rank: 1 },
  { title: 'ROOT', of: ({ path }) => path, rank: 0 },
];

/** The lines, each shorter than the terminal is wide, at most `rows` of them. */
export function drawPicture(moment: Moment, columns: number, rows = Infinity): string[] {
  const width = Math.max(1, columns - 1);
  const { operations, roots } = moment;
  const head = [...heading(moment, width), '', ...drawTable(ROOTS, worstFirst(roots), width), ''];
  const body = operations.length === 0 ? ['nothing is running'] : drawTable(OPERATIONS, sorted(operations), width);
  const lines = [...head, ...body];
  if (lines.length <= rows) return lines;
  const hidden = lines.length - rows + 1;
  return [...lines.slice(0, rows - 1), `… ${String(hidden)} more`.slice(0, width)];
}

function heading({ address, time, operations, ended, hint, roots }: Moment, width: number): string[] {
  const waits = operations.filter(isQueued).map(({ waitedMs = 0 }) => waitedMs);
  const queued = waits.length;
  const sum = operations.reduce((all, { event }) => all + Number(event?.progress?.bytesPerSecond ?? 0n), 0);
  const counts = `${String(operations.length - queued)} running, ${String(queued)} queued`;
  const longest = queued === 0 ? '' : `waiting ${duration(Math.max(...waits) / 1000)}`;
  const cancelled = ended.cancelled === 0 ? '' : `, ${String(ended.cancelled)} cancelled`;
  const since = `${String(ended.succeeded)} done, ${String(ended.failed)} failed${cancelled}`;
  return [
    fill([`hostler top  ${time.toTimeString().slice(0, 8)}`, printable(address), hint], width),
    fill([counts, rootTrouble(roots), longest, `${bytes(sum)}/s`, since], width),
  ];
}

/** How many roots do not answer, and how many cannot be used for another reason. */
function rootTrouble(roots: readonly TopRoot[]): string {
  const problems = roots.flatMap(({ problem }) => (problem === '' ? [] : problem));
  const stalled = problems.filter((problem) => problem === 'ROOT_STALLED').length;
  const count = (number: number, what: string) =>
    number === 0 ? [] : [`${String(number)} ${number === 1 ? 'root' : 'roots'} ${what}`];
  return [...count(stalled, 'stalled'), ...count(problems.length - stalled, 'unavailable')].join(', ');
}

/** As many of the parts as fit, in order. */
function fill(parts: readonly string[], width: number): string {
  return parts
    .filter((part) => part !== '')
    .reduce((line, part) => {
      const longer = line === '' ? part : `${line}  ${part}`;
      return longer.length <= width ? longer : line;
    }, '')
    .slice(0, width);
}

/** Roots with a problem first: they must be seen also where there are few rows. */
function worstFirst(roots: readonly TopRoot[]): TopRoot[] {
  return roots.toSorted((a, b) => Number(b.problem !== '') - Number(a.problem !== ''));
}

/** Running operations first, each group in the order of ids, which is by age. */
function sorted(operations: readonly TopOperation[]): TopOperation[] {
  const key = (operation: TopOperation) => `${isQueued(operation) ? '1' : '0'}${operation.id}`;
  return operations.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

function isQueued({ event }: TopOperation): boolean {
  return event?.state === OperationState.OPERATION_STATE_QUEUED;
}

function drawTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string[] {
  const sized = columns.map((column) => {
    const cells = rows.map((row) => printable(column.of(row)));
    return { ...column, cells, width: Math.max(column.title.length, ...cells.map(({ length }) => length)) };
  });
  const chosen = fitting(sized, width);
  return [undefined, ...rows.keys()].map((row) => {
    const cells = chosen.map(({ title, cells: all, width: cellWidth, isRight }, index) => {
      const cell = row === undefined ? title : (all[row] ?? '');
      if (index === chosen.length - 1) return cell;
      return isRight === true ? cell.padStart(cellWidth) : cell.padEnd(cellWidth);
    });
    return cells.join(' '.repeat(GAP)).slice(0, width).trimEnd();
  });
}

/** Drops the columns of the highest ranks until the others fit; the last one may be cut. */
function fitting<C extends { readonly width: number; readonly rank: number }>(
  columns: readonly C[],
  width: number,
): readonly C[] {
  const needed = columns.reduce(
    (sum, column, index) =>
      sum + (index === columns.length - 1 ? Math.min(column.width, MIN_LAST) : column.width + GAP),
    0,
  );
  if (needed <= width || columns.length === 1) return columns;
  const highest = Math.max(...columns.map(({ rank }) => rank));
  const first = columns.findIndex(({ rank }) => rank === highest);
  return fitting(columns.toSpliced(first, 1), width);
}

function doing(event: OperationEvent | undefined): string {
  if (event === undefined) return '';
  const { state, phase, queuePosition } = event;
  if (state === OperationState.OPERATION_STATE_CANCELLING) return stateName(state);
  if (state !== OperationState.OPERATION_STATE_QUEUED) return phaseName(phase);
  return queuePosition === undefined ? stateName(state) : `queued, ${String(queuePosition)}.`;
}

/** Waits of less than a second are not worth the reading. */
function waited({ waitedMs = 0 }: TopOperation): string {
  return waitedMs < 1000 ? '' : duration(waitedMs / 1000);
}

function percent(event: OperationEvent | undefined): string {
  const { doneBytes = 0n, totalBytes = 0n, doneItems = 0n, totalItems = 0n } = event?.progress ?? {};
  const [done, all] = totalBytes > 0n ? [doneBytes, totalBytes] : [doneItems, totalItems];
  return all === 0n ? '' : `${String((100n * done) / all)}%`;
}

function rate(event: OperationEvent | undefined): string {
  const known = event?.progress?.bytesPerSecond;
  return known === undefined ? '' : `${bytes(known)}/s`;
}

function left(event: OperationEvent | undefined): string {
  const eta = event?.progress?.eta;
  return eta === undefined ? '' : duration(Number(eta.seconds));
}

function growth({ space }: TopRoot): string {
  return space?.overcommittedBytes === undefined ? '' : bytes(space.overcommittedBytes);
}

/** Demands on the free space: of running operations, and of images that may still grow. */
function pressure({ space, problem }: TopRoot): string {
  if (space === undefined) return problem;
  const promised = space.reservedBytes + (space.overcommittedBytes ?? 0n);
  if (space.freeBytes === 0n) return 'FULL';
  const share = Number((100n * promised) / space.freeBytes);
  return share > 100 ? `${String(share)}% OVER` : `${String(share)}%`;
}
