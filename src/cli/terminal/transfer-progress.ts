import { bytes, duration } from '../text.js';
import type { ProgressView } from './progress-view.js';

/** The rate is that of the last samples. */
const SAMPLE_MS = 250;
const SAMPLES = 20;

/** Counts what the command itself sends or receives, and shows it. */
export class TransferProgress {
  readonly #samples: { readonly time: number; readonly done: bigint }[] = [];

  /**
   * @param all the length in bytes; unset: not known
   * @param now milliseconds that only go forward
   */
  constructor(
    private readonly view: ProgressView,
    private readonly phase: string,
    private readonly all: bigint | undefined,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The offset that was reached, including bytes of an earlier attempt and zeros. */
  reach(done: bigint): void {
    const time = this.now();
    const last = this.#samples.at(-1);
    if (last !== undefined && time - last.time < SAMPLE_MS) return;
    this.#samples.push({ time, done });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const rate = this.#rate();
    this.view.show({
      phase: this.phase,
      ...(this.all === undefined || this.all === 0n ? {} : { share: { done: Number(done), all: Number(this.all) } }),
      amount: this.all === undefined ? bytes(done) : `${bytes(done)} of ${bytes(this.all)}`,
      rate: rate === 0 ? '' : `${bytes(Math.round(rate))}/s`,
      left: rate === 0 || this.all === undefined ? '' : duration(Number(this.all - done) / rate),
      note: '',
    });
  }

  /** Bytes a second; 0 while there is only one sample. */
  #rate(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.time === first.time) return 0;
    return (Number(last.done - first.done) * 1000) / (last.time - first.time);
  }
}
