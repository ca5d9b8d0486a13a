/** The place of a call in its trace, in the headers `traceparent` and `tracestate`. */
import type { Metadata } from '@grpc/grpc-js';
import {
  ROOT_CONTEXT,
  trace,
  type TextMapGetter,
  type TextMapSetter,
  type SpanContext as ApiSpanContext,
} from '@opentelemetry/api';
import { TraceState, W3CTraceContextPropagator } from '@opentelemetry/core';
import type { SpanContext } from '../domain/model/span.js';

const headers = new W3CTraceContextPropagator();

const getter: TextMapGetter<Metadata> = {
  get: (metadata, key) => metadata.get(key).filter((value) => typeof value === 'string'),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

const setter: TextMapSetter<Metadata> = {
  set: (metadata, key, value) => metadata.set(key, value),
};

/** Of the caller of a call; undefined for none, and for a broken header. */
export function readSpanContext(metadata: Metadata): SpanContext | undefined {
  const found = trace.getSpanContext(headers.extract(ROOT_CONTEXT, metadata, getter));
  return found === undefined ? undefined : fromApi(found);
}

/** Tells the called side where its call stands. */
export function writeSpanContext(metadata: Metadata, context: SpanContext): void {
  const at = trace.setSpanContext(ROOT_CONTEXT, toApi(context));
  headers.inject(at, metadata, setter);
}

/** As the OpenTelemetry API has it; of another program's span. */
export function toApi({ traceState, ...rest }: SpanContext): ApiSpanContext {
  const state = traceState === undefined ? {} : { traceState: new TraceState(traceState) };
  return { ...rest, ...state, isRemote: true };
}

/** What the OpenTelemetry API has, as the domain knows it. */
export function fromApi({ traceId, spanId, traceFlags, traceState }: ApiSpanContext): SpanContext {
  const state = traceState?.serialize() ?? '';
  return { traceId, spanId, traceFlags, ...(state === '' ? {} : { traceState: state }) };
}
