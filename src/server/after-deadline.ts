import { ResponderBuilder, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';

/** A timer may fire this much early by the clock. */
const EARLY_MS = 2;

/**
 * Sends no message of a stream after its deadline. grpc-js (1.14) ends the stream then, before it
 * notifies the handler, and a message that is written after that prevents the status from ever
 * being sent. A message that is held back here is never reported as sent, so only the status of the
 * deadline follows it.
 */
export const nothingAfterDeadline: ServerInterceptor = (_, call) => {
  const given = call.getDeadline();
  const deadline = given instanceof Date ? given.getTime() : given;
  return new ServerInterceptingCall(
    call,
    new ResponderBuilder()
      .withSendMessage((message, next) => {
        if (Date.now() < deadline - EARLY_MS) next(message);
      })
      .build(),
  );
};
