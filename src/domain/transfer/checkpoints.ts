import { asHostlerError, type HostlerError } from '../model/errors.js';
import type { Checkpoint } from '../operations/recovery/resume-entries.js';
import type { Run } from '../operations/verb.js';
import type { FileWriter } from '../ports/transfers.js';

/** A fortieth of the transfer is the most that a crash costs, within these. */
const LEAST_BYTES = 1n << 20n;
const MOST_BYTES = 64n << 20n;
const UNKNOWN_BYTES = 16n << 20n;

/** How far a transfer has come, and of what. */
export interface Position {
  readonly offset: bigint;
  readonly validator?: string;
  /** Tells whether the content is still the same, where not every byte has to be. */
  readonly freshness?: string;
  readonly totalBytes?: bigint;
  /** Of it so many were zeros. */
  readonly zeroBytes?: bigint;
  /** It came for a caller's secrets. Unset: so it may be. */
  readonly guarded?: boolean;
  /** The operation that brought it there. */
  readonly operationId?: string;
}

/** The position out of a checkpoint of the journal; no offset means 0. */
export function positionOf({ offset, validator, freshness, total, zeros, guarded, operation }: Checkpoint): Position {
  return {
    offset: BigInt(offset ?? 0),
    ...(validator === undefined ? {} : { validator }),
    ...(freshness === undefined ? {} : { freshness }),
    ...(total === undefined ? {} : { totalBytes: BigInt(total) }),
    ...(zeros === undefined ? {} : { zeroBytes: BigInt(zeros) }),
    ...(guarded === undefined ? {} : { guarded: guarded === 'yes' }),
    ...(operation === undefined ? {} : { operationId: operation }),
  };
}

/** Makes what has come durable, then says so, now and then and beside the transfer. */
export class Checkpoints {
  #last: bigint;
  #working: Promise<void> | undefined;
  #error: HostlerError | undefined;

  constructor(
    private readonly file: Pick<FileWriter, 'sync'>,
    private readonly run: Pick<Run, 'operationId' | 'checkpoint'>,
    start: bigint,
  ) {
    this.#last = start;
  }

  /** Everything before the position has been written. Throws what an earlier one failed with. */
  reached(position: Position): void {
    if (this.#error !== undefined) throw this.#error;
    if (this.#working !== undefined || position.offset - this.#last < between(position.totalBytes)) return;
    this.#working = this.#save(position)
      .catch((error: unknown) => {
        this.#error = asHostlerError(error);
      })
      .finally(() => {
        this.#working = undefined;
      });
  }

  /** The same now, whatever the distance. */
  async now(position: Position): Promise<void> {
    await this.#working;
    // A system tells of a write that failed only once.
    if (this.#error !== undefined) throw this.#error;
    await this.#save(position);
  }

  /** A new beginning. */
  async restart(): Promise<void> {
    await this.#working;
    this.#last = 0n;
  }

  async settled(): Promise<void> {
    await this.#working;
  }

  async #save({ offset, validator, freshness, totalBytes, zeroBytes, guarded }: Position): Promise<void> {
    this.#last = offset;
    await this.file.sync();
    await this.run.checkpoint({
      offset: String(offset),
      operation: this.run.operationId,
      ...(validator === undefined ? {} : { validator }),
      ...(freshness === undefined ? {} : { freshness }),
      ...(totalBytes === undefined ? {} : { total: String(totalBytes) }),
      ...(zeroBytes === undefined ? {} : { zeros: String(zeroBytes) }),
      ...(guarded === undefined ? {} : { guarded: guarded ? 'yes' : 'no' }),
    });
  }
}

function between(totalBytes: bigint | undefined): bigint {
  if (totalBytes === undefined) return UNKNOWN_BYTES;
  const part = totalBytes / 40n;
  return part < LEAST_BYTES ? LEAST_BYTES : part > MOST_BYTES ? MOST_BYTES : part;
}
