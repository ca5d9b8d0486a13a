import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** Open at once, in all. */
  readonly connections: number;
  /** Open at once, of one caller. */
  readonly connectionsPerCaller: number;
  /** Open at once that have not shown who they are or, in the clear, not said a word. */
  readonly halfOpen: number;
  /** For the TLS handshake or, in the clear, for the preface of HTTP/2. */
  readonly handshakeMs: number;
}

export type WhyDropped =
  'not authenticated' | 'too many' | 'too many of the caller' | 'too many half-open' | 'silent' | 'idle, to make room';

/** Why a connection that has not shown whose it is is ended. */
export type WhyEnded = Extract<WhyDropped, 'silent' | 'too many half-open'>;

/** A connection that has not shown whose it is. */
interface HalfOpen {
  /** Whether it has meanwhile. */
  readonly isThrough: () => boolean;
  /** It is about to be ended because it has not. */
  readonly onEnd: (why: WhyEnded) => void;
}

/**
 * Counts connections, so that nobody can take them all: those without a call have to go first.
 * Clients connect again by themselves when they have one.
 */
export class Connections {
  /** In the order of their arrival, with the number of their open calls. */
  readonly #open = new Map<Socket, number>();
  /** In the order of their arrival. */
  readonly #halfOpen = new Map<Socket, HalfOpen>();
  /** Of each caller, in the order of their arrival. */
  readonly #ofCaller = new Map<string, Set<Socket>>();

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly onDropped: (why: WhyDropped) => void,
  ) {}

  get open(): number {
    return this.#open.size;
  }

  /**
   * A new connection; false when there is no room for it. Where too many are half-open the oldest
   * of them makes room.
   */
  arrive(socket: Socket, isThrough: HalfOpen['isThrough'], onEnd: HalfOpen['onEnd'] = () => undefined): boolean {
    // Whatever is wrong with a connection, its end is what counts.
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
   * It is known now whose it is; false when the caller has too many, and a call is open on each.
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

  /** A call came on it, which lasts until its stream closes. */
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

  /** Ends the oldest of them on which no call is open; false when there is none. */
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
