/** The parts of a generated message that the JSON printer needs. */
import type { JsonValue } from '@bufbuild/protobuf';

/** A message of the contract: its full name, and its bytes. */
export interface Codec<T> {
  readonly $type: string;
  encode(message: T): { finish(): Uint8Array };
}

/** A message as canonical proto3 JSON. */
export type ToJson = <T>(codec: Codec<T>, message: T) => JsonValue;
