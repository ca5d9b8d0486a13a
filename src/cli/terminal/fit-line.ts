/** One moment of long work, for people. */
export interface Frame {
  /** The current phase, such as `converting`. */
  readonly phase: string;
  /** The progress: bytes, or entries; unset while the total is unknown. */
  readonly share?: { readonly done: number; readonly all: number };
  /** The same as text: `1.0 GiB of 4.0 GiB`. */
  readonly amount: string;
  /** `310 MiB/s`; empty while unknown. */
  readonly rate: string;
  /** `2m 05s`; empty while unknown. */
  readonly left: string;
  /** The reason of a wait; empty if there is none. */
  readonly note: string;
}

const MAX_BAR = 40;
const MIN_BAR = 8;
const GAP = '  ';

/**
 * The frame in one line, shorter than the terminal is wide. If there is little room, first the
 * amount, then the bar, then the phase are left out; rate and time left stay.
 */
export function fitLine(frame: Frame, columns: number): string {
  // A terminal may go to the next line when its last column is written.
  const room = Math.max(1, columns - 1);
  const { phase, share, amount, rate, note } = frame;
  const percent = share === undefined ? '' : `${String(percentOf(share))}%`.padStart(4);
  const left = frame.left === '' ? '' : `${frame.left} left`;
  if (note !== '') return [phase, percent, note].filter(isSomething).join(GAP).slice(0, room);
  const withBar = [
    [amount, rate, left],
    [rate, left],
  ].flatMap((after) => {
    const rest = [percent, ...after].filter(isSomething).join(GAP);
    const bar = Math.min(MAX_BAR, room - phase.length - rest.length - 2 * GAP.length - 2);
    return share === undefined || bar < MIN_BAR ? [] : [[phase, drawBar(share, bar), rest]];
  });
  const withoutBar = [
    [phase, percent, amount, rate, left],
    [phase, percent, rate, left],
    [phase, percent, rate, frame.left],
    [percent, rate, frame.left],
  ];
  const lines = [...withBar, ...withoutBar].map((parts) => parts.filter(isSomething).join(GAP));
  return lines.find(({ length }) => length <= room) ?? (lines.at(-1) ?? '').slice(0, room);
}

function percentOf({ done, all }: { readonly done: number; readonly all: number }): number {
  return all === 0 ? 0 : Math.min(100, Math.floor((100 * done) / all));
}

function drawBar(share: { readonly done: number; readonly all: number }, width: number): string {
  const full = Math.floor((percentOf(share) * width) / 100);
  return `[${'■'.repeat(full)}${' '.repeat(width - full)}]`;
}

function isSomething(part: string): boolean {
  return part !== '';
}
