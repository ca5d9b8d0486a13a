import { BLOCK_ALGORITHM } from '../block-digest.js';
import { HostlerError, invalidFields } from '../errors.js';
import type { Clock } from '../ports.js';
import { deferred, orAborted } from '../waiting.js';
import type { Checksum, FileWriter, Piece } from './ports.js';
import { RunningDigest, type ChecksumAlgorithm } from './running-digest.js';

export type UploadChecksum = Checksum & { readonly algorithm: ChecksumAlgorithm };
export type UploadPiece = Piece | { readonly checksum: UploadChecksum };

interface Connection {
  readonly stop: AbortController;
  readonly over: Promise<void>;
}

/** Bytes read at a time when a digest has to be computed after the fact. */
const READ_BYTES = 1024 * 1024;

/** Bytes that come in, over one connection after the other, until all are there. */
export class OpenUpload {
  #committed = 0n;
  #digest: RunningDigest;
  #connection: Connection | undefined;
  #lastCameAt: number;
  readonly #whole = deferred<UploadChecksum>();

  constructor(
    private readonly expected: { readonly lengthBytes: bigint; readonly checksum?: UploadChecksum },
    private readonly writer: FileWriter,
    private readonly expireMs: number,
    private readonly clock: Clock,
    /** Told how much has come: bytes of data and of zeros. */
    private readonly onBytes: (data: bigint, zeros: bigint) => void,
  ) {
    this.#lastCameAt = clock();
    this.#digest = new RunningDigest(expected.checksum?.algorithm ?? BLOCK_ALGORITHM);
  }

  get committedBytes(): bigint {
    return this.#committed;
  }

  /** Resolved when every byte is there, with what they must digest to. */
  get whole(): Promise<UploadChecksum> {
    return this.#whole.promise;
  }

  /** While somebody sends it does not expire. */
  expiresAt(): number {
    return (this.#connection === undefined ? this.#lastCameAt : this.clock()) + this.expireMs;
  }

  /** Ends the connection that sends now, if any; what has come is durable then. */
  async takeOver(): Promise<void> {
    this.#lastCameAt = this.clock();
    const connection = this.#connection;
    connection?.stop.abort(new HostlerError('CANCELLED', 'another connection goes on with this upload'));
    await connection?.over;
  }

  /** Takes bytes from `offset` on; true when all are there. What came before a failure stays. */
  async receive(offset: bigint, pieces: AsyncIterable<UploadPiece>): Promise<boolean> {
    await this.takeOver();
    if (offset !== this.#committed)
      throw invalidFields([{ field: 'header.offset', description: `must be ${String(this.#committed)}` }]);
    const over = deferred();
    const connection = { stop: new AbortController(), over: over.promise };
    this.#connection = connection;
    try {
      const checksum = (await this.#take(pieces, connection.stop.signal)) ?? this.expected.checksum;
      if (this.#committed < this.expected.lengthBytes) return false;
      if (checksum === undefined)
        throw invalidFields([{ field: 'checksum', description: 'required: in StartUpload or as the last message' }]);
      this.#whole.resolve(checksum);
      return true;
    } finally {
      await this.writer.sync();
      this.#lastCameAt = this.clock();
      this.#connection = undefined;
      over.resolve();
    }
  }

  /** Fails with CHECKSUM_MISMATCH. */
  async verify({ algorithm, digest: wanted }: UploadChecksum, signal: AbortSignal): Promise<void> {
    const running = this.#digest.algorithm === algorithm ? this.#digest : await this.#readAgain(algorithm, signal);
    const found = running.digest();
    if (found === wanted) return;
    throw new HostlerError('CHECKSUM_MISMATCH', `what came digests to ${found}, not to ${wanted}`, {
      facts: { algorithm, expected: wanted, found },
    });
  }

  async #take(pieces: AsyncIterable<UploadPiece>, signal: AbortSignal): Promise<UploadChecksum | undefined> {
    const iterator = pieces[Symbol.asyncIterator]();
    let checksum: UploadChecksum | undefined;
    for (;;) {
      const next = await orAborted(iterator.next(), signal);
      if (next.done === true) return checksum;
      if (checksum !== undefined) throw invalidFields([{ field: 'checksum', description: 'must be the last message' }]);
      if ('checksum' in next.value) {
        checksum = next.value.checksum;
        this.#assertComplete();
      } else {
        await this.#add(next.value);
      }
    }
  }

  async #add(piece: Piece): Promise<void> {
    const length = 'data' in piece ? BigInt(piece.data.length) : piece.zeros;
    if (this.#committed + length > this.expected.lengthBytes)
      throw invalidFields([
        {
          field: 'data' in piece ? 'data' : 'zero_bytes',
          description: `more than the ${String(this.expected.lengthBytes)} bytes that StartUpload announced`,
        },
      ]);
    const written = 'data' in piece ? this.writer.write(piece.data, this.#committed) : undefined;
    await Promise.all([written, this.#digest.take(piece)]);
    this.#committed += length;
    this.onBytes('data' in piece ? length : 0n, 'data' in piece ? 0n : length);
  }

  #assertComplete(): void {
    if (this.#committed === this.expected.lengthBytes) return;
    throw invalidFields([
      {
        field: 'checksum',
        description: `came after ${String(this.#committed)} of ${String(this.expected.lengthBytes)} bytes`,
      },
    ]);
  }

  /** The caller names another algorithm at the end than was known at the start. */
  async #readAgain(algorithm: ChecksumAlgorithm, signal: AbortSignal): Promise<RunningDigest> {
    const digest = new RunningDigest(algorithm);
    for (let at = 0n; at < this.#committed;) {
      signal.throwIfAborted();
      const left = this.#committed - at;
      const data = await this.writer.read(at, Number(left < BigInt(READ_BYTES) ? left : BigInt(READ_BYTES)));
      // Zeros at the end were never written.
      if (data.length === 0) {
        await digest.take({ zeros: left });
        break;
      }
      await digest.take({ data });
      at += BigInt(data.length);
    }
    return digest;
  }
}
