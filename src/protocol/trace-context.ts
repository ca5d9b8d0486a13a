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

/** The context of a call's caller; undefined for none, and for an invalid header. */
export function readSpanContext(metadata: Metadata): SpanContext | undefined {
  const found = trace.getSpanContext(headers.extract(ROOT_CONTEXT, metadata, getter));
  return found === undefined ? undefined : fromApi(found);
}

/** Sends the context of a call to the server. */
export function writeSpanContext(metadata: Metadata, context: SpanContext): void {
  const at = trace.setSpanContext(ROOT_CONTEXT, toApi(context));
  headers.inject(at, metadata, setter);
}

/** In the form of the OpenTelemetry API; the span may be another program's. */
export function toApi({ traceState, ...rest }: SpanContext): ApiSpanContext {
  const state = traceState === undefined ? {} : { traceState: new TraceState(traceState) };
  return { ...rest, ...state, isRemote: true };
}

/** A context of the OpenTelemetry API in the form of the domain. */
export function fromApi({ traceId, spanId, traceFlags, traceState }: ApiSpanContext): SpanContext {
  const state = traceState?.serialize() ?? '';
  return { traceId, spanId, traceFlags, ...(state === '' ? {} : { traceState: state }) };
}
