import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** Open at the same time, in all. */
  readonly connections: number;
  /** Open at the same time, for one caller. */
  readonly connectionsPerCaller: number;
  /**
   * Open at the same time without an authenticated client or, without TLS, without any received
   * data.
   */
  readonly halfOpen: number;
  /** Time limit for the TLS handshake or, without TLS, for the preface of HTTP/2. */
  readonly handshakeMs: number;
}

export type WhyDropped =
  'not authenticated' | 'too many' | 'too many of the caller' | 'too many half-open' | 'silent' | 'idle, to make room';

/** Why an unauthenticated connection is closed. */
export type WhyEnded = Extract<WhyDropped, 'silent' | 'too many half-open'>;

/** A connection without an authenticated client. */
interface HalfOpen {
  /** Whether it has been authenticated since. */
  readonly isThrough: () => boolean;
  /** Called before it is closed for this reason. */
  readonly onEnd: (why: WhyEnded) => void;
}

/**
 * Counts connections and limits them, so that no client can use them all: idle ones are closed
 * first. Clients reconnect by themselves when they have a call.
 */
export class Connections {
  /** In order of arrival, with the number of their open calls. */
  readonly #open = new Map<Socket, number>();
  /** In order of arrival. */
  readonly #halfOpen = new Map<Socket, HalfOpen>();
  /** For each caller, in order of arrival. */
  readonly #ofCaller = new Map<string, Set<Socket>>();

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly onDropped: (why: WhyDropped) => void,
  ) {}

  get open(): number {
    return this.#open.size;
  }

  /**
   * A new connection; false if there is no room for it. If too many are half-open, the oldest of
   * them is closed.
   */
  arrive(socket: Socket, isThrough: HalfOpen['isThrough'], onEnd: HalfOpen['onEnd'] = () => undefined): boolean {
    // Whatever the error, only the end of the connection matters.
    socket.on('error', () => undefined);
    this.#makeRoom();
    if (this.#open.size >= this.limits.connections && !this.#dropIdle(this.#open.keys()))
      return this.#drop(socket, 'too many');
    this.#open.set(socket, 0);
    this.#halfOpen.set(socket, { isThrough, onEnd });
    const timer = setTimeout(() => {
      if (!this.#halfOpen.delete(socket) || isThrough()) return;
      onEnd('silent');
      this.#drop(socket, 'silent');
    }, this.limits.handshakeMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#open.delete(socket);
      this.#halfOpen.delete(socket);
    });
    return true;
  }

  /**
   * The caller of a connection has become known; false if the caller has too many, and all have an
   * open call.
   */
  belongsTo(caller: string, socket: Socket): boolean {
    const own = this.#ofCaller.get(caller) ?? new Set();
    if (own.size >= this.limits.connectionsPerCaller && !this.#dropIdle(own))
      return this.#drop(socket, 'too many of the caller');
    this.#ofCaller.set(caller, own.add(socket));
    socket.once('close', () => {
      own.delete(socket);
      if (own.size === 0 && this.#ofCaller.get(caller) === own) this.#ofCaller.delete(caller);
    });
    return true;
  }

  /** A call has begun on the connection; it lasts until its stream closes. */
  called(socket: Socket, stream: { once(event: 'close', listener: () => void): void }): void {
    this.#count(socket, 1);
    stream.once('close', () => {
      this.#count(socket, -1);
    });
  }

  #count(socket: Socket, by: number): void {
    const calls = this.#open.get(socket);
    if (calls !== undefined) this.#open.set(socket, calls + by);
  }

  /** Closes the oldest connection without an open call; false if there is none. */
  #dropIdle(among: Iterable<Socket>): boolean {
    for (const socket of among) {
      if (socket.destroyed || this.#open.get(socket) !== 0) continue;
      this.#drop(socket, 'idle, to make room');
      return true;
    }
    return false;
  }

  #makeRoom(): void {
    for (const [oldest, { isThrough, onEnd }] of this.#halfOpen) {
      if (this.#halfOpen.size < this.limits.halfOpen) return;
      this.#halfOpen.delete(oldest);
      if (isThrough()) continue;
      onEnd('too many half-open');
      this.#drop(oldest, 'too many half-open');
    }
  }

  #drop(socket: Socket, why: WhyDropped): false {
    socket.destroy();
    this.onDropped(why);
    return false;
  }
}
