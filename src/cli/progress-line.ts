import { Presets, SingleBar } from 'cli-progress';
import { OperationPhase, type OperationEvent } from '../gen/hostler/v1/operation.js';
import { phaseName } from './names.js';
import { bytes, duration } from './text.js';

/** Plain lines come no more often than this. */
const PLAIN_INTERVAL_MS = 1000;

/**
 * Shows events as they come: a live bar on a terminal, plain lines elsewhere, nothing for programs.
 */
export interface ProgressView {
  show(event: OperationEvent): void;
  end(): void;
}

/**
 * The progress display: a bar on a terminal, plain lines elsewhere, nothing with --quiet. The
 * caller ends it.
 */
export function createView(stream: NodeJS.WriteStream, quiet: boolean): ProgressView {
  if (quiet) return { show: () => undefined, end: () => undefined };
  return stream.isTTY ? new Bar(stream) : new PlainLines(stream);
}

/**
 * What is counted, as numbers and for people: bytes, or entries where there are no bytes. Nothing
 * of nothing is no count.
 */
function counted({ progress }: OperationEvent): { done: number; all: number; text: string } | undefined {
  const { totalBytes, totalItems, doneBytes, doneItems = 0n } = progress ?? { doneBytes: 0n };
  if (totalBytes !== undefined && totalBytes > 0n)
    return { done: Number(doneBytes), all: Number(totalBytes), text: `${bytes(doneBytes)} of ${bytes(totalBytes)}` };
  if (totalItems === undefined) return undefined;
  return { done: Number(doneItems), all: Number(totalItems), text: `${String(doneItems)} of ${String(totalItems)}` };
}

/** What it waits for before it tries again, or how fast it goes. */
function rateOf({ progress, retry }: OperationEvent): string {
  if (retry !== undefined) {
    const seconds = Math.max(0, Number(retry.nextTime?.seconds ?? 0n) - Math.floor(Date.now() / 1000));
    return `attempt ${String(retry.attempt)} in ${duration(seconds)}: ${retry.error?.message ?? ''}`;
  }
  const rate = progress?.bytesPerSecond === undefined ? '' : `${bytes(progress.bytesPerSecond)}/s`;
  const eta = progress?.eta === undefined ? '' : `  ${duration(Number(progress.eta.seconds))} left`;
  return `${rate}${eta}`;
}

class Bar implements ProgressView {
  readonly #bar: SingleBar;
  #started = false;

  constructor(stream: NodeJS.WriteStream) {
    const format = '{phase} [{bar}] {percentage}%  {amount}  {speed}';
    this.#bar = new SingleBar({ stream, format, hideCursor: true, clearOnComplete: true }, Presets.rect);
  }

  show(event: OperationEvent): void {
    const count = counted(event);
    if (count === undefined) return;
    const { done, all, text: amount } = count;
    const payload = { phase: phaseName(event.phase), amount, speed: rateOf(event) };
    if (!this.#started) this.#bar.start(all, done, payload);
    this.#started = true;
    this.#bar.setTotal(all);
    this.#bar.update(done, payload);
  }

  end(): void {
    if (this.#started) this.#bar.stop();
  }
}

class PlainLines implements ProgressView {
  #last = { time: 0, text: '' };

  constructor(private readonly stream: NodeJS.WriteStream) {}

  show(event: OperationEvent): void {
    const { phase, queuePosition } = event;
    if (phase === OperationPhase.OPERATION_PHASE_UNSPECIFIED && queuePosition === undefined) return;
    const place = queuePosition === undefined ? '' : ` (place ${String(queuePosition)})`;
    const count = counted(event);
    const text = `${phaseName(phase)}${place}${count === undefined ? '' : ` ${count.text}`}`;
    const now = Date.now();
    if (text === this.#last.text || (now - this.#last.time < PLAIN_INTERVAL_MS && this.#last.time > 0)) return;
    this.#last = { time: now, text };
    this.stream.write(`${text} ${rateOf(event)}`.trimEnd() + '\n');
  }

  end(): void {
    this.#last = { time: 0, text: '' };
  }
}
