/**
 * What headers said when they were read, for as long as their files do not change. For answers that
 * only show images: an operation reads the headers again.
 */
import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts } from '../model/image-info.js';
import type { Resolved } from '../ports/handles.js';
import type { Clock } from '../ports/images.js';

/**
 * The coarsest times are those of FAT: 2 s. A file that changed less than that before it was read
 * may change again and have the same times.
 */
const SETTLED_MS = 2000;
/**
 * The times of a file are set before the data arrives, and not at all by a later write to a page
 * that is mapped into memory. So an answer is given for this long only.
 */
const MAX_AGE_MS = 60_000;
const NS_PER_MS = 1_000_000n;

/** Room for as many images as one call can name: 10,000, each with a base whose name is long. */
const [FACTS_BYTES, FORMATS_BYTES] = [10 << 20, 2 << 20];
/** Larger answers are those of images with thousands of snapshots. */
const MOST_ANSWER_BYTES = 64 << 10;
/** Of an answer without its texts and lists, with its key; of an item of a list. Measured. */
const [ENTRY_BYTES, FACTS_OBJECT_BYTES, ITEM_BYTES] = [200, 600, 200];

interface Kept<Answer> {
  readonly answer: Answer;
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  readonly changeTimeNs: bigint;
  readonly readAtMs: number;
  readonly bytes: number;
}

/** Answers that depend on nothing but the content of a file. */
export class AnswersOfFiles<Answer> {
  readonly #kept = new Map<string, Kept<Answer>>();
  #bytes = 0;

  /** @param bytesOf the memory that an answer takes; all of them take `mostBytes` at most */
  constructor(
    private readonly mostBytes: number,
    private readonly bytesOf: (answer: Answer) => number,
    private readonly clock: Clock,
  ) {}

  /**
   * The last answer to the question if the file has not changed since, and otherwise that of
   * `read`. A failure is not kept.
   */
  async of(file: Resolved, question: string, read: () => Promise<Answer>): Promise<Answer> {
    const { device, inode, lengthBytes, modifyTimeNs, changeTimeNs } = file;
    if (changeTimeNs === undefined) return read();
    const key = `${String(device)}:${String(inode)}:${question}`;
    const kept = this.#kept.get(key);
    const now = this.clock();
    if (
      kept?.changeTimeNs === changeTimeNs &&
      kept.modifyTimeNs === modifyTimeNs &&
      kept.lengthBytes === lengthBytes &&
      isFresh(kept, now)
    )
      return kept.answer;
    const answer = await read();
    this.#drop(key);
    const bytes = ENTRY_BYTES + 2 * key.length + this.bytesOf(answer);
    const isSettled = now - Number(changeTimeNs / NS_PER_MS) > SETTLED_MS;
    if (!isSettled || bytes > MOST_ANSWER_BYTES) return answer;
    this.#kept.set(key, { answer, lengthBytes, modifyTimeNs, changeTimeNs, readAtMs: now, bytes });
    this.#bytes += bytes;
    this.#dropOldest(now);
    return answer;
  }

  #dropOldest(now: number): void {
    for (const [key, oldest] of this.#kept) {
      if (this.#bytes <= this.mostBytes && isFresh(oldest, now)) return;
      this.#drop(key);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }
}

/** What headers said: the facts by the declared format, and the formats that contents claim. */
export interface KnownHeaders {
  readonly facts: AnswersOfFiles<ImageFacts>;
  readonly formats: AnswersOfFiles<ImageFormat>;
}

/** Nothing is known yet. */
export function knownHeaders(clock: Clock): KnownHeaders {
  return {
    facts: new AnswersOfFiles(FACTS_BYTES, bytesOfFacts, clock),
    formats: new AnswersOfFiles<ImageFormat>(FORMATS_BYTES, () => 0, clock),
  };
}

/** False also for an answer from the future: the clock was set back. */
function isFresh({ readAtMs }: { readonly readAtMs: number }, now: number): boolean {
  return readAtMs <= now && now - readAtMs < MAX_AGE_MS;
}

function bytesOfFacts({ snapshots, findings, extentNames = [], described, ...facts }: ImageFacts): number {
  const extents = described?.extents ?? [];
  const texts = [
    ...[facts.backingFile, facts.backingFormat, facts.dataFile, ...extentNames],
    ...findings.map(({ message }) => message),
    ...snapshots.flatMap(({ id, name }) => [id, name]),
    ...extents.map(({ name }) => name),
  ];
  const items = snapshots.length + findings.length + extentNames.length + extents.length;
  return FACTS_OBJECT_BYTES + ITEM_BYTES * items + texts.reduce((sum, text = '') => sum + 2 * text.length, 0);
}
