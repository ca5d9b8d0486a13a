/** A forward proxy on the loopback that notes what it is asked for. */
import { once } from 'node:events';
import { createServer, request as ask, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export class Proxy {
  /** URLs of plain requests, `HOST:PORT` of tunnels. */
  readonly asked: string[] = [];
  readonly #sockets = new Set<Duplex>();

  private constructor(private readonly server: Server) {}

  /** `instead` is where all that it is asked for is: names mean nothing to it. */
  static async start(instead: number): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server);
    server.on('request', (request, response) => {
      const url = new URL(request.url ?? '');
      proxy.asked.push(url.href);
      const { headers } = request;
      ask({ host: '127.0.0.1', port: instead, path: url.pathname, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      }).end();
    });
    server.on('connect', ({ url = '' }, near: Duplex) => {
      proxy.asked.push(url);
      const far = connect(Number(url.split(':').at(-1)), '127.0.0.1');
      for (const socket of [near, far]) {
        proxy.#sockets.add(socket);
        socket.on('error', () => undefined); // either side may leave first
        socket.once('close', () => {
          near.destroy();
          far.destroy();
        });
      }
      near.write('HTTP/1.1 200 OK\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get origin(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
