import type { Timestamp } from '../../gen/google/protobuf/timestamp.js';
import { OperationState, type OperationEvent } from '../../gen/hostler/v1/operation.js';
import { msOf } from '../../protocol/times.js';

/**
 * The time that each operation spends in the queue, from lists and events: an event has neither the
 * time of admission nor that of the start.
 */
export class QueueWaits {
  readonly #admitted = new Map<string, number>();
  readonly #started = new Map<string, number>();
  /** An operation of a list. */
  list(id: string, createTime: Timestamp | undefined, startTime: Timestamp | undefined): void {
    if (createTime !== undefined) this.#admitted.set(id, msOf(createTime));
    if (startTime !== undefined) this.#started.set(id, msOf(startTime));
  }

  /** An event as it came. The first event of an operation is that of its admission. */
  follow(event: OperationEvent): void {
    const { operationId: id, eventTime, state } = event;
    if (eventTime === undefined) return;
    if (!this.#admitted.has(id)) this.#admitted.set(id, msOf(eventTime));
    if (state !== OperationState.OPERATION_STATE_QUEUED && !this.#started.has(id))
      this.#started.set(id, msOf(eventTime));
  }

  /** Ms until it started, or until now by the clock of the client; unset if it is not known. */
  of(id: string, now: number): number | undefined {
    const admitted = this.#admitted.get(id);
    return admitted === undefined ? undefined : Math.max(0, (this.#started.get(id) ?? now) - admitted);
  }

  /** The operation has ended. */
  forget(id: string): void {
    this.#admitted.delete(id);
    this.#started.delete(id);
  }
}
