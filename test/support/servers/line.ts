/**
 * A line to a server that is as slow as a test wants it, can be cut, and counts what it carries to
 * the caller.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LineFaults {
  readonly bytesPerSecond?: number;
  /** Bytes after which it breaks, for the first so many connections. */
  readonly cutAfter?: { readonly bytes: number; readonly times: number };
  /** Before whoever calls learns of it. */
  readonly onCut?: () => Promise<unknown>;
}

export class Line {
  carriedBytes = 0;
  connections = 0;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly faults: LineFaults,
  ) {}

  /** To a port of the loopback. */
  static async to(port: number, faults: LineFaults = {}): Promise<Line> {
    const server = createServer();
    const line = new Line(server, faults);
    server.on('connection', (near) => void line.#carry(near, connect(port, '127.0.0.1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return line;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #carry(near: Socket, far: Socket): Promise<void> {
    const turn = this.connections++;
    const { bytesPerSecond, cutAfter, onCut } = this.faults;
    const cut = cutAfter !== undefined && turn < cutAfter.times ? cutAfter.bytes : Infinity;
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // either side may leave first
      socket.once('close', () => {
        this.#sockets.delete(socket);
        // What was written arrives before the end.
        if (!other.destroyed) other.end();
      });
    }
    near.pipe(far, { end: false });
    let carried = 0;
    try {
      for await (const piece of far as AsyncIterable<Buffer>) {
        const part = piece.subarray(0, cut - carried);
        carried += part.length;
        this.carriedBytes += part.length;
        if (!near.write(part)) await once(near, 'drain');
        if (carried >= cut) {
          await onCut?.();
          return;
        }
        if (bytesPerSecond !== undefined) await sleep((part.length / bytesPerSecond) * 1000);
      }
    } catch {
      // A side has left; so does the other one.
    } finally {
      far.destroy();
      near.end();
    }
  }
}
