/** The whole terminal, for as long as something is shown on it. */
import { clearScreenDown, cursorTo } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';

const ENTER = '\u001B[?1049h\u001B[?25l\u001B[?7l';
const LEAVE = '\u001B[?7h\u001B[?25h\u001B[?1049l';
const QUIT = ['q', 'Q', '\u0003', '\u0004', '\u001B'];

/** Takes over the terminal, and restores it in whatever way the process ends. */
export class Screen implements Disposable {
  readonly #restore = () => {
    if (this.input.isTTY) this.input.setRawMode(false);
    this.output.write(LEAVE);
  };

  /** @param output a terminal that can move its cursor */
  constructor(
    private readonly output: WriteStream,
    private readonly input: ReadStream,
  ) {
    process.once('exit', this.#restore);
    output.write(ENTER);
  }

  /** Resolves when the user wants to leave: q, Escape or Ctrl-C. */
  quit(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.input.isTTY) return;
      this.input.setRawMode(true);
      this.input.on('data', (keys: Buffer) => {
        if (QUIT.some((key) => keys.includes(key))) resolve();
      });
    });
  }

  /** Replaces the screen. `draw` gets the current columns and rows. */
  show(draw: (columns: number, rows: number) => readonly string[]): void {
    const { columns, rows } = this.output;
    cursorTo(this.output, 0, 0);
    this.output.write(
      draw(columns, rows)
        .map((line) => `${line}\u001B[K`)
        .join('\n'),
    );
    clearScreenDown(this.output);
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#restore);
    this.#restore();
    this.input.pause();
  }
}
