/** The position of work in a distributed trace, as in W3C Trace Context. */
export interface SpanContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** The flags of `traceparent`; bit 0: the trace is sampled. */
  readonly traceFlags: number;
  /** The header `tracestate`; unset: there was none. */
  readonly traceState?: string;
}

/** Lists are given away: they belong to the span then. */
export type SpanAttributes = Readonly<Record<string, string | number | string[]>>;

/** The start of a span; unset: now, inside the daemon, without attributes. */
export interface SpanStart {
  /** `server`: a call that came in; `client`: a call to another daemon. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: SpanAttributes;
  /** The span that this one continues. */
  readonly continues?: SpanContext;
  /** In ms since 1970. */
  readonly startTime?: number;
}

/** The failure of a span. */
export interface SpanFailure {
  /** A reason, or a word that stands for one. */
  readonly type: string;
  readonly message?: string;
  /** Whether the status of the span is an error; unset: yes. */
  readonly isError?: boolean;
}

/** Work that a trace shows, from its start to its end. */
export interface TraceSpan {
  /** Unset: it belongs to no trace. */
  readonly context: SpanContext | undefined;
  /** Starts a span within this one. */
  child(name: string, start?: SpanStart): TraceSpan;
  set(attributes: SpanAttributes): void;
  /** Something happened now. */
  event(name: string): void;
  /** Call it once; a span that is never ended is not exported. */
  end(failure?: SpanFailure): void;
}
