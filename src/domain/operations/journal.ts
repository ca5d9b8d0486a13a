import type { OperationRecord } from './record.js';

/** Scope of a request id. */
export interface RequestKey {
  readonly caller: string;
  readonly method: string;
  readonly requestId: string;
}

/** Where operations are kept. Ids are ULIDs, so their order is the order of time. */
export interface Journal {
  /** Adds or replaces; durable, as far as this journal is durable at all, when resolved. */
  put(record: OperationRecord): Promise<void>;
  get(id: string): Promise<OperationRecord | undefined>;
  /** The latest operation under this request id. */
  findRequest(key: RequestKey): Promise<OperationRecord | undefined>;
  /** What a daemon before us left behind. */
  unfinished(): Promise<readonly OperationRecord[]>;
  /** In the order of ids, beginning after the given id. */
  list(after: string | undefined): AsyncIterable<OperationRecord>;
}
