import { StringDecoder } from 'node:string_decoder';
import { breathe } from '../../domain/model/async.js';

/**
 * No tool prints a longer line; a longer one is split there, so that output without line ends does
 * not fill the memory.
 */
const MAX_LINE = 64 * 1024;

/** Processing a line takes up to 20 µs, and many tools may print many lines at once. */
const LINES_AT_ONCE = 50;

/** Lines of a stream, split at \n and at \r: progress bars end their lines with \r. */
export async function* splitLines(stream: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const pieces = (rest + decoder.write(chunk)).split(/[\r\n]/);
    rest = pieces.pop() ?? '';
    const lines = pieces.filter((piece) => piece !== '');
    for (let first = 0; first < lines.length; first += LINES_AT_ONCE) {
      if (lines.length > LINES_AT_ONCE) await breathe();
      yield* lines.slice(first, first + LINES_AT_ONCE);
    }
    if (rest.length > MAX_LINE) {
      yield rest;
      rest = '';
    }
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}

/** Keeps the last bytes of a stream. */
export class LastBytes {
  #kept: Buffer = Buffer.alloc(0);

  constructor(private readonly limit: number) {}

  add(chunk: Buffer): void {
    this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-this.limit);
  }

  get text(): string {
    return this.#kept.toString('utf8').trim();
  }
}
