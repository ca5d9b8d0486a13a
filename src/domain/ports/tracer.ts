import type { TraceSpan, SpanContext, SpanStart } from '../model/span.js';

/**
 * Begins spans. Without export they cost next to nothing, and pass on the context of the caller.
 */
export interface Tracer {
  /** Begins a span within another one, which may be another program's; unset: a trace begins. */
  begin(name: string, parent: SpanContext | undefined, start?: SpanStart): TraceSpan;
}
