/**
 * A unix socket that leads to another, and whose connections can be cut at any moment, as a line
 * between hosts is.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class Relay {
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async start(path: string, target: string): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server);
    server.on('connection', (near) => {
      const far = connect(target);
      for (const socket of [near, far]) {
        relay.#sockets.add(socket);
        socket.on('error', () => undefined); // either side may leave first
        socket.once('close', () => {
          relay.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    server.listen(path);
    await once(server, 'listening');
    return relay;
  }

  /** Cuts all connections there are; new ones can be made. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
