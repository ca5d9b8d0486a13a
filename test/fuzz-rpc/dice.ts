import { randomNumbers } from '../support/soak.js';

/** Chance that can be had again: the same seed and turn give the same numbers. */
export class Dice {
  readonly #next: () => number;

  constructor(seed: number, turn: number) {
    this.#next = randomNumbers(Math.imul(seed, 0x9e3779b1) ^ Math.imul(turn + 1, 0x85ebca6b));
  }

  chance(part: number): boolean {
    return this.#next() < part;
  }

  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
