/**
 * An agent that calls another agent says for whom: for the other's audit log, never for a decision.
 */
import { Metadata } from '@grpc/grpc-js';

const KEY = 'hostler-on-behalf-of';
const MAX_NAME = 255;

/** What goes with such a call. */
export function onBehalfOf(identity: string): Metadata {
  const metadata = new Metadata();
  // Headers are ASCII; names need not be.
  metadata.set(KEY, encodeURI(identity).slice(0, MAX_NAME));
  return metadata;
}

/** Whom a call says that it is for. */
export function readOnBehalfOf(metadata: Metadata): string | undefined {
  const [value] = metadata.get(KEY);
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_NAME) : undefined;
}
