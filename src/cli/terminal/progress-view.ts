import { SingleBar } from 'cli-progress';
import { OperationPhase, type OperationEvent } from '../../gen/hostler/v1/operation.js';
import { phaseName } from '../names.js';
import { bytes, duration, printable } from '../text.js';
import { fitLine, type Frame } from './fit-line.js';

/** Minimum interval of plain lines in one phase, because they go to logs. */
const PLAIN_INTERVAL_MS = 10_000;
/** Minimum interval between different phases. */
const PHASE_INTERVAL_MS = 1000;

/** Shows the progress of long work. The caller ends it. */
export interface ProgressView {
  show(frame: Frame): void;
  end(): void;
}

/**
 * A live bar on a terminal that can move its cursor, plain lines elsewhere, nothing with `isQuiet`.
 */
export function createView(stream: NodeJS.WriteStream, isQuiet: boolean): ProgressView {
  if (isQuiet) return { show: () => undefined, end: () => undefined };
  return canMoveCursor(stream) ? new Bar(stream) : new PlainLines(stream);
}

/** Whether text can be redrawn at the same place. */
export function canMoveCursor(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && process.env['TERM'] !== 'dumb';
}

/** An event as a view shows it. */
export function frameOf({ phase, queuePosition, progress, retry }: OperationEvent): Frame {
  const place = queuePosition === undefined ? '' : ` (place ${String(queuePosition)})`;
  const rate = progress?.bytesPerSecond === undefined ? '' : `${bytes(progress.bytesPerSecond)}/s`;
  const left = progress?.eta === undefined ? '' : duration(Number(progress.eta.seconds));
  return { phase: `${phaseName(phase)}${place}`, ...countOf(progress), rate, left, note: noteOf(retry) };
}

/** Whether an event tells more than that the operation was accepted. */
export function isTelling({ phase, queuePosition }: OperationEvent): boolean {
  return phase !== OperationPhase.OPERATION_PHASE_UNSPECIFIED || queuePosition !== undefined;
}

/** Bytes, or entries if there are no bytes. Zero of zero is not a count. */
function countOf(progress: OperationEvent['progress']): Pick<Frame, 'share' | 'amount'> {
  const { totalBytes, totalItems, doneBytes, doneItems = 0n } = progress ?? { doneBytes: 0n };
  if (totalBytes !== undefined && totalBytes > 0n)
    return {
      share: { done: Number(doneBytes), all: Number(totalBytes) },
      amount: `${bytes(doneBytes)} of ${bytes(totalBytes)}`,
    };
  if (totalItems === undefined) return { amount: '' };
  return {
    share: { done: Number(doneItems), all: Number(totalItems) },
    amount: `${String(doneItems)} of ${String(totalItems)}`,
  };
}

/** The wait before the next attempt. */
function noteOf(retry: OperationEvent['retry']): string {
  if (retry === undefined) return '';
  const seconds = Math.max(0, Number(retry.nextTime?.seconds ?? 0n) - Math.floor(Date.now() / 1000));
  return printable(`attempt ${String(retry.attempt)} in ${duration(seconds)}: ${retry.error?.message ?? ''}`);
}

class Bar implements ProgressView {
  readonly #bar: SingleBar;
  readonly #restore = () => {
    this.#bar.stop();
  };
  #started = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#bar = new SingleBar({
      stream,
      format: (_, { maxWidth }: { maxWidth?: number }, { frame }: { frame?: Frame }) =>
        frame === undefined ? '' : fitLine(frame, maxWidth ?? stream.columns),
      hideCursor: true,
      clearOnComplete: true,
    });
  }

  show(frame: Frame): void {
    if (frame.share === undefined && frame.amount === '' && !this.#started) return;
    // In whatever way the command ends, the cursor is restored.
    if (!this.#started) process.once('exit', this.#restore);
    if (!this.#started) this.#bar.start(1, 0, { frame });
    else this.#bar.update(0, { frame });
    this.#started = true;
  }

  end(): void {
    process.off('exit', this.#restore);
    if (this.#started) this.#bar.stop();
    this.#started = false;
  }
}

class PlainLines implements ProgressView {
  #last = { time: -Infinity, phase: '', text: '' };

  constructor(private readonly stream: NodeJS.WriteStream) {}

  show({ phase, amount, rate, left, note }: Frame): void {
    const percentless = [phase, amount].filter((part) => part !== '').join(' ');
    const time = performance.now();
    const interval = phase === this.#last.phase ? PLAIN_INTERVAL_MS : PHASE_INTERVAL_MS;
    if (percentless === this.#last.text || time - this.#last.time < interval) return;
    this.#last = { time, phase, text: percentless };
    const parts = [percentless, rate, left === '' ? '' : `${left} left`, note];
    this.stream.write(`${parts.filter((part) => part !== '').join('  ')}\n`);
  }

  end(): void {
    this.#last = { time: -Infinity, phase: '', text: '' };
  }
}
