import type { KeptLines, LineLevel, OperationLine, OperationLines } from '../../domain/ports/operation-lines.js';

/** Of one operation; the first ones say how it began, so those in the middle give way. */
const [FIRST_LINES, LAST_LINES] = [50, 150];
/** A value is cut there: an error with its causes has some 2,000 characters. */
const MAX_CHARACTERS = 2048;
/** Of all operations, as UTF-16; the oldest operation gives way. */
const MAX_ALL_CHARACTERS = 4 * 1024 * 1024;

interface Lines {
  readonly first: OperationLine[];
  readonly last: OperationLine[];
  left: number;
  characters: number;
}

/**
 * The last lines of operations, in memory that is bounded. It has lines of every level, also of
 * those that the log leaves out.
 */
export class KeptOperationLines implements OperationLines {
  /** Oldest first. */
  readonly #operations = new Map<string, Lines>();
  #characters = 0;

  constructor(private readonly clock: () => number) {}

  add(operationId: string, level: LineLevel, message: string, facts: Readonly<Record<string, unknown>>): void {
    const line = { timeMs: this.clock(), level, message, facts: textsOf(facts) };
    const lines = this.#operations.get(operationId) ?? { first: [], last: [], left: 0, characters: 0 };
    this.#operations.set(operationId, lines);
    (lines.first.length < FIRST_LINES ? lines.first : lines.last).push(line);
    this.#count(lines, charactersOf(line));
    const passed = lines.last.length > LAST_LINES ? lines.last.shift() : undefined;
    if (passed !== undefined) {
      lines.left += 1;
      this.#count(lines, -charactersOf(passed));
    }
    for (const [id, { characters }] of this.#operations) {
      if (this.#characters <= MAX_ALL_CHARACTERS) break;
      this.#operations.delete(id);
      this.#characters -= characters;
    }
  }

  of(operationId: string): KeptLines | undefined {
    const lines = this.#operations.get(operationId);
    return lines && { lines: [...lines.first, ...lines.last], isPartial: lines.left > 0 };
  }

  #count(lines: Lines, characters: number): void {
    lines.characters += characters;
    this.#characters += characters;
  }
}

function textsOf(facts: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [[key, cut(textOf(value))]])),
  );
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each));
}

function cut(text: string): string {
  return text.length <= MAX_CHARACTERS ? text : `${text.slice(0, MAX_CHARACTERS)}…`;
}

/** With something for what holds it. */
function charactersOf({ message, facts }: OperationLine): number {
  const texts = Object.entries(facts).reduce((sum, [key, value]) => sum + key.length + value.length + 50, 0);
  return 100 + message.length + texts;
}
