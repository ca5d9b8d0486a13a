import { asHostlerError, type HostlerError } from '../model/errors.js';
import type { Checkpoint } from '../operations/recovery/resume-entries.js';
import type { Run } from '../operations/verb.js';
import type { FileWriter } from '../ports/transfers.js';

/** A crash loses at most a fortieth of the transfer, within these limits. */
const LEAST_BYTES = 1n << 20n;
const MOST_BYTES = 64n << 20n;
const UNKNOWN_BYTES = 16n << 20n;

/** The progress of a transfer, and its content's identity. */
export interface Position {
  readonly offset: bigint;
  readonly validator?: string;
  /** Shows whether the content is still the same, where equality of every byte is not required. */
  readonly freshness?: string;
  readonly totalBytes?: bigint;
  /** How many of the bytes were zeros. */
  readonly zeroBytes?: bigint;
  /** It was received with a caller's secrets. Unset: it may have been. */
  readonly guarded?: boolean;
  /** The operation that received it. */
  readonly operationId?: string;
}

/** The position in a checkpoint of the journal; no offset means 0. */
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

/** Makes received data durable, then records it, now and then, beside the transfer. */
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

  /** Everything before the position has been written. Throws the error of an earlier checkpoint. */
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

  /** The same at once, whatever the distance. */
  async now(position: Position): Promise<void> {
    await this.#working;
    // The kernel reports a failed write only once.
    if (this.#error !== undefined) throw this.#error;
    await this.#save(position);
  }

  /** The transfer starts again. */
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
