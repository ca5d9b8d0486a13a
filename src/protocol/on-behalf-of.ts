/**
 * An agent that calls another agent names its caller: for the other's audit log, never for a
 * decision.
 */
import { Metadata } from '@grpc/grpc-js';

const KEY = 'hostler-on-behalf-of';
const MAX_NAME = 255;

/** The metadata of such a call. */
export function onBehalfOf(identity: string): Metadata {
  const metadata = new Metadata();
  // Headers are ASCII; names need not be.
  metadata.set(KEY, encodeURI(identity).slice(0, MAX_NAME));
  return metadata;
}

/** The caller on whose behalf a call is made. */
export function readOnBehalfOf(metadata: Metadata): string | undefined {
  const [value] = metadata.get(KEY);
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_NAME) : undefined;
}
