import { Readable } from 'node:stream';
import { RandomAccessReader } from 'yauzl';
import type { GuardedFile } from '../files/guarded-file.js';

const PIECE_BYTES = 64 << 10;

/** File access for yauzl. Each read has a time limit. Fails as GuardedFile does. */
export class ZipReader extends RandomAccessReader {
  constructor(private readonly file: GuardedFile) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#fill(buffer.subarray(offset, offset + length), position).then(
      (bytesRead) => {
        callback(null, bytesRead);
      },
      (error: unknown) => {
        callback(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#pieces(start, end), { objectMode: false });
  }

  /** Returns the number of bytes read. */
  async #fill(buffer: Buffer, position: number): Promise<number> {
    let done = 0;
    for (; done < buffer.length;) {
      const piece = await this.file.read(BigInt(position + done), buffer.length - done);
      if (piece.length === 0) break;
      done += piece.copy(buffer, done);
    }
    return done;
  }

  async *#pieces(start: number, end: number): AsyncGenerator<Buffer> {
    for (let at = start; at < end;) {
      const piece = await this.file.read(BigInt(at), Math.min(PIECE_BYTES, end - at));
      if (piece.length === 0) return;
      at += piece.length;
      yield piece;
    }
  }
}
