import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** Open at once, in all. */
  readonly connections: number;
  /** Open at once, of one caller. */
  readonly connectionsPerCaller: number;
  /** Open at once that have not shown who they are or, in the clear, not said a word. */
  readonly halfOpen: number;
  /** For the TLS handshake, or the first byte. */
  readonly handshakeMs: number;
}

export type WhyDropped = 'not authenticated' | 'too many' | 'too many of the caller' | 'too many half-open' | 'silent';

/** Counts connections, so that nobody can take them all: who says nothing has to go first. */
export class Connections {
  readonly #open = new Set<Socket>();
  /** In the order of their arrival, with what says that they are half-open no more. */
  readonly #halfOpen = new Map<Socket, () => boolean>();
  readonly #ofCaller = new Map<string, number>();

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly onDropped: (why: WhyDropped) => void,
  ) {}

  get open(): number {
    return this.#open.size;
  }

  /** A new connection; false when there is no room for it. Where too many are half-open the oldest of them makes room. */
  arrive(socket: Socket, isThrough: () => boolean): boolean {
    // Whatever is wrong with a connection, its end is what counts.
    socket.on('error', () => undefined);
    this.#makeRoom();
    if (this.#open.size >= this.limits.connections) return this.#drop(socket, 'too many');
    this.#open.add(socket);
    this.#halfOpen.set(socket, isThrough);
    const timer = setTimeout(() => {
      if (this.#halfOpen.delete(socket) && !isThrough()) this.#drop(socket, 'silent');
    }, this.limits.handshakeMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#open.delete(socket);
      this.#halfOpen.delete(socket);
    });
    return true;
  }

  /** It is known now whose it is; false when the caller has too many. */
  belongsTo(caller: string, socket: Socket): boolean {
    const before = this.#ofCaller.get(caller) ?? 0;
    if (before >= this.limits.connectionsPerCaller) return this.#drop(socket, 'too many of the caller');
    this.#ofCaller.set(caller, before + 1);
    socket.once('close', () => {
      const left = (this.#ofCaller.get(caller) ?? 1) - 1;
      if (left === 0) this.#ofCaller.delete(caller);
      else this.#ofCaller.set(caller, left);
    });
    return true;
  }

  #makeRoom(): void {
    for (const [oldest, isThrough] of this.#halfOpen) {
      if (this.#halfOpen.size < this.limits.halfOpen) return;
      this.#halfOpen.delete(oldest);
      if (!isThrough()) this.#drop(oldest, 'too many half-open');
    }
  }

  #drop(socket: Socket, why: WhyDropped): false {
    socket.destroy();
    this.onDropped(why);
    return false;
  }
}
