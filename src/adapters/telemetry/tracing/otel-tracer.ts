import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  isSpanContextValid,
  trace,
  type Span as ApiSpan,
  type SpanOptions,
  type Tracer as ApiTracer,
} from '@opentelemetry/api';
import type { TraceSpan, SpanAttributes, SpanContext, SpanFailure, SpanStart } from '../../../domain/model/span.js';
import type { Tracer } from '../../../domain/ports/tracer.js';
import { fromApi, toApi } from '../../../protocol/trace-context.js';

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

/**
 * Spans of the OpenTelemetry API. Without an SDK behind the tracer they record nothing, and a span
 * has the context of its parent.
 */
export class OtelTracer implements Tracer {
  constructor(private readonly tracer: ApiTracer = trace.getTracer('hostler')) {}

  begin(name: string, parent: SpanContext | undefined, start: SpanStart = {}): TraceSpan {
    const within = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, toApi(parent));
    return new OtelSpan(this.tracer.startSpan(name, optionsOf(start), within), this);
  }
}

class OtelSpan implements TraceSpan {
  readonly context: SpanContext | undefined;

  constructor(
    private readonly span: ApiSpan,
    private readonly tracer: OtelTracer,
  ) {
    const context = span.spanContext();
    this.context = isSpanContextValid(context) ? fromApi(context) : undefined;
  }

  child(name: string, start?: SpanStart): TraceSpan {
    return this.tracer.begin(name, this.context, start);
  }

  set(attributes: SpanAttributes): void {
    this.span.setAttributes(attributes);
  }

  event(name: string): void {
    this.span.addEvent(name);
  }

  end(failure?: SpanFailure): void {
    if (failure !== undefined) {
      const { type, message, isError = true } = failure;
      this.span.setAttribute('error.type', type);
      const code = SpanStatusCode.ERROR;
      if (isError) this.span.setStatus({ code, ...(message === undefined ? {} : { message }) });
    }
    this.span.end();
  }
}

function optionsOf({ kind, attributes, continues, startTime }: SpanStart): SpanOptions {
  return {
    ...(kind === undefined ? {} : { kind: KINDS[kind] }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(continues === undefined ? {} : { links: [{ context: toApi(continues) }] }),
    // A small number would be read as a time since the start of the process.
    ...(startTime === undefined ? {} : { startTime: new Date(startTime) }),
  };
}
