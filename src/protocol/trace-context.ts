/** The trace of a caller, as the header `traceparent` of W3C Trace Context has it. */
import type { Metadata } from '@grpc/grpc-js';

const TRACEPARENT = /^[\da-f]{2}-(?<trace>[\da-f]{32})-(?<span>[\da-f]{16})-[\da-f]{2}(?:-|$)/;
const INVALID = /^(?:ff|.{3}0{32}|.{36}0{16})/;

/** The id of the trace that a call is a part of; undefined for none, and for a broken header. */
export function readTraceId(metadata: Metadata): string | undefined {
  const [value] = metadata.get('traceparent');
  if (typeof value !== 'string' || INVALID.test(value)) return undefined;
  return TRACEPARENT.exec(value)?.groups?.['trace'];
}
