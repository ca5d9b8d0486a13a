import { ResponderBuilder, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';

/** A timer may run so much before its time by the clock. */
const EARLY_MS = 2;

/**
 * Sends no message of a stream when its deadline has come. grpc-js (1.14) ends the stream then,
 * before it tells anybody, and a message that is written after that keeps the status from ever
 * being sent. One that is held back here is never said to be sent: so nothing follows it but the
 * status of the deadline.
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
