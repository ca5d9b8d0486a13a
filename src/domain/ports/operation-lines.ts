/** A line of the daemon's log that belongs to an operation. */
export interface OperationLine {
  readonly timeMs: number;
  readonly level: LineLevel;
  readonly message: string;
  /** Texts unchanged, other values as JSON. */
  readonly facts: Readonly<Record<string, string>>;
}

export type LineLevel = 'debug' | 'info' | 'warn' | 'error';

/** The lines of one operation that are still known, oldest first. */
export interface KeptLines {
  readonly lines: readonly OperationLine[];
  /** Older lines were dropped. */
  readonly isPartial: boolean;
}

export interface OperationLines {
  /** Undefined: nothing is known of the operation, such as after a restart of the daemon. */
  of(operationId: string): KeptLines | undefined;
}
