import { ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js';

type Responder = ConstructorParameters<typeof ServerInterceptingCall>[1];
type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** Notified whether the answers of a call are read. */
export interface ReadListener {
  /** An answer waits in memory for its reader. */
  readonly waits: () => void;
  /** No answer waits any more. */
  readonly read: () => void;
}

/** A call that reports how its answers are read. */
export class ReadCall extends ServerInterceptingCall {
  constructor(
    call: ServerInterceptingCallInterface,
    responder: Responder,
    private readonly listener: ReadListener,
  ) {
    super(call, responder);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.listener.waits();
    super.sendMessage(message, () => {
      this.listener.read();
      callback();
    });
  }

  /** Comes after the messages; the end of the call shows that it was read. */
  override sendStatus(status: Status): void {
    this.listener.waits();
    super.sendStatus(status);
  }
}
