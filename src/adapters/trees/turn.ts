/** After so many pieces of work the clock is asked. */
const PIECES = 64;
const STEP_MS = 20;

/** Says after each piece of work of a thread whether its step has taken its time. */
export class Turn {
  #count = 0;
  #until = performance.now() + STEP_MS;

  isOver(): boolean {
    this.#count += 1;
    if (this.#count % PIECES !== 0 || performance.now() < this.#until) return false;
    this.#until = performance.now() + STEP_MS;
    return true;
  }
}
