import type { ServiceError } from '@grpc/grpc-js';
import { CallError, type Message, type Stranger } from './stranger.js';

/** An operation that is at work. */
export interface Begun {
  readonly id: string;
  /** How it fails, when it does. */
  readonly failed: Promise<CallError>;
  /** Resolved when it has succeeded; never, when it fails. */
  readonly succeeded: Promise<void>;
}

/** Starts an operation; resolved when it has done so many bytes, or some. */
export async function begun(stranger: Stranger, rpc: string, request: Message, bytes = 1): Promise<Begun> {
  const stream = stranger.stream(rpc, request);
  let id = '';
  const failed = new Promise<CallError>((resolve) =>
    stream.on('error', (error: ServiceError) => resolve(new CallError(error))),
  );
  const some = new Promise<undefined>((resolve) =>
    stream.on('data', (event: Message) => {
      id = String(event['operation_id']);
      if (Number((event['progress'] as Message | undefined)?.['done_bytes'] ?? 0) >= bytes) resolve(undefined);
    }),
  );
  const succeeded = new Promise<void>((resolve) => stream.on('end', resolve));
  const over = succeeded.then(() => new Error('it has succeeded before it had done so much'));
  const early = await Promise.race([some, failed, over]);
  if (early !== undefined) throw early;
  return { id, failed, succeeded };
}
