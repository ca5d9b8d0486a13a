/** The clock is checked after this many pieces of work. */
const PIECES = 64;
const STEP_MS = 20;

/** Tells, after each piece of work, whether the current step has used up its time. */
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
