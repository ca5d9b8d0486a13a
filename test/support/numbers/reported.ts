/** What an operation reports of its bytes: in each of its events, and in its result. */
import assert from 'node:assert/strict';
import type { Message, Stranger } from '../stranger.js';

export interface Shown {
  readonly phase: string;
  readonly done: number;
  /** Unset while it is not known. */
  readonly total: number | undefined;
  readonly skipped: number;
}

export interface Reported {
  readonly result: Message;
  readonly moved: number;
  readonly skipped: number;
  readonly shown: readonly Shown[];
  /** The one that was shown last; undefined: there was none. */
  readonly last: Omit<Shown, 'phase'> | undefined;
}

/** Whether a transfer goes on where it broke, or has to begin again. */
type Breaks = 'resumes' | 'begins again';

/** Runs an operation to its end. */
export async function reported(stranger: Stranger, rpc: string, request: Message, breaks?: Breaks): Promise<Reported> {
  return numbersOf(await stranger.all(rpc, request), breaks);
}

/**
 * What the events of an operation that has succeeded say. No progress is beyond its total, or has a
 * wrong eta. None is behind one of the same phase before, but at the end, where zeros that were
 * read have become holes.
 */
export function numbersOf(events: readonly Message[], breaks: Breaks = 'resumes'): Reported {
  for (const event of events) assertEta(event['progress'] as Message | undefined);
  const shown = events.flatMap(shownOf);
  for (const [n, { phase, done, total }] of shown.entries()) {
    assert.ok(total === undefined || done <= total, JSON.stringify(shown));
    const before = breaks === 'resumes' ? shown[n - 1] : undefined;
    assert.ok(
      before === undefined || before.phase !== phase || before.done <= done || done === total,
      JSON.stringify(shown),
    );
  }
  const result = Object.values((events.at(-1)?.['result'] ?? {}) as Message)[0] as Message;
  const work = (result['work'] ?? result) as Message;
  const end = shown.at(-1);
  return {
    ...{ result, shown, moved: bytesOf(work, 'moved_bytes'), skipped: bytesOf(work, 'skipped_bytes') },
    last: end === undefined ? undefined : { done: end.done, total: end.total, skipped: end.skipped },
  };
}

function shownOf({ phase, progress }: Message): Shown[] {
  if (progress === undefined || progress === null) return [];
  const counters = progress as Message;
  return [
    {
      phase: String(phase),
      done: bytesOf(counters, 'done_bytes'),
      total: counters['total_bytes'] === undefined ? undefined : bytesOf(counters, 'total_bytes'),
      skipped: bytesOf(counters, 'skipped_bytes'),
    },
  ];
}

/** What is left at the rate that is shown. */
function assertEta(progress: Message | undefined): void {
  const eta = progress?.['eta'] as { readonly seconds?: string; readonly nanos?: number } | undefined;
  if (progress === undefined || eta === undefined) return;
  const left = bytesOf(progress, 'total_bytes') - bytesOf(progress, 'done_bytes');
  const seconds = Number(eta.seconds ?? 0) + (eta.nanos ?? 0) / 1e9;
  const expected = left / bytesOf(progress, 'bytes_per_second');
  assert.ok(Math.abs(seconds - expected) <= 0.002, `${String(seconds)} s instead of ${String(expected)} s`);
}

function bytesOf(message: Message, field: string): number {
  return Number(message[field] ?? 0);
}
