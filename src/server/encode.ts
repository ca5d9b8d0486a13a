/**
 * Answers are serialised inside the call. grpc-js would do it after the call is over, where a value
 * that cannot be encoded is not reported: the log says OK, and the operation behind the call is
 * cancelled.
 */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { HostlerError } from '../domain/model/errors.js';

/** What clients accept by default. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

type Serialize = (message: unknown) => Buffer;

/** Serialises answers. Fails with BUG if that is impossible, and with ANSWER_TOO_LARGE. */
export function encoder(rpc: string, serialize: Serialize): Serialize {
  return (message) => {
    const bytes = inBytes(rpc, serialize, message);
    if (bytes.length <= MAX_ANSWER_BYTES) return bytes;
    const facts = { rpc, bytes: String(bytes.length), allowed: String(MAX_ANSWER_BYTES) };
    const text = `the answer has ${facts.bytes} bytes; clients take ${facts.allowed}`;
    throw new HostlerError('ANSWER_TOO_LARGE', text, { facts });
  };
}

function inBytes(rpc: string, serialize: Serialize, message: unknown): Buffer {
  try {
    return serialize(message);
  } catch (cause) {
    throw new HostlerError('BUG', 'the answer cannot be sent as it is; see the log of the daemon', {
      facts: { rpc },
      cause,
    });
  }
}

/** The service definition for grpc-js: its answers are already bytes. */
export function answeredInBytes(definition: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [
      name,
      { ...method, responseSerialize: (bytes: Buffer) => bytes },
    ]),
  );
}
