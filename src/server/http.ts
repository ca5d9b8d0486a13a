import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { asHostlerError } from '../domain/model/errors.js';
import { Connections } from './connections.js';
import type { ServerLog } from './server.js';
import { startListening } from './start-listening.js';

/**
 * For scrapers and load balancers of one host: connections without a request make room for new
 * ones.
 */
const CONNECTIONS = { connections: 64, connectionsPerCaller: 64, halfOpen: 32, handshakeMs: 10_000 };
/** Time limits for a request, for the next one on its connection, and for reading an answer. */
const [REQUEST_MS, NEXT_MS, IDLE_MS] = [10_000, 5000, 30_000];

/** Metrics for Prometheus and health for load balancers, on the loopback. */
export class HttpServer {
  readonly #server: Server;
  #ready = false;

  constructor(
    private readonly metrics: { readonly contentType: string; text(): Promise<string> },
    private readonly log: Pick<ServerLog, 'refused' | 'dropped'>,
  ) {
    const connections = new Connections(CONNECTIONS, log.dropped);
    const times = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: NEXT_MS };
    this.#server = createServer({ ...times, connectionsCheckingInterval: 1000 }, (request, response) => {
      connections.called(request.socket, response);
      const answer = (code: number, body: string, type = 'text/plain') => {
        response.writeHead(code, { 'content-type': type }).end(body);
      };
      if (request.method !== 'GET') answer(405, 'GET only\n');
      else if (request.url === '/healthz') answer(200, 'ok\n');
      else if (request.url === '/readyz') answer(this.#ready ? 200 : 503, this.#ready ? 'ready\n' : 'not ready\n');
      else if (request.url === '/metrics') {
        this.metrics.text().then(
          (text) => {
            answer(200, text, this.metrics.contentType);
          },
          (error: unknown) => {
            answer(500, `${String(error)}\n`);
          },
        );
      } else answer(404, 'not found: try /healthz, /readyz or /metrics\n');
    });
    this.#server.on('connection', (socket: Socket) => {
      socket.setTimeout(IDLE_MS, () => socket.destroy());
      connections.arrive(socket, () => socket.bytesRead > 0);
    });
  }

  set ready(ready: boolean) {
    this.#ready = ready;
  }

  /** `HOST:PORT`; port 0 chooses a free one. Returns the bound address. Fails with ListenError. */
  async listen(address: string): Promise<string> {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replaceAll(/[[\]]/g, '');
    const wanted = { host, port: Number(address.slice(colon + 1)) };
    await startListening(this.#server, wanted, `${address} for metrics and health (server.http)`);
    // A connection that could not be accepted, for example without a free descriptor.
    this.#server.on('error', (error) => this.log.refused('http', asHostlerError(error)));
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null
      ? `http://${address.slice(0, colon)}:${String(bound.port)}`
      : address;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}
