import type { TraceSpan, SpanContext, SpanStart } from '../model/span.js';

/** Starts spans. Without export they cost next to nothing, and pass on the caller's context. */
export interface Tracer {
  /** Starts a span within another one, possibly of another program; unset: a new trace. */
  begin(name: string, parent: SpanContext | undefined, start?: SpanStart): TraceSpan;
}
