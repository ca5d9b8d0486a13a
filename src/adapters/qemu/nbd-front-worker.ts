/** A thread that forwards TCP connections to a tool's socket. See NbdFront. */
import { createServer, connect, type Server, type Socket } from 'node:net';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { errnoOf } from '../linux/errno.js';

export interface FrontJob {
  /** Listen address; the first free port of the range is used. */
  readonly address: string;
  readonly firstPort: number;
  readonly lastPort: number;
  /** Path of the tool's socket. */
  readonly socket: string;
  readonly maxConnections: number;
  /**
   * A connection on which TLS has not begun is closed after this time, or earlier if other
   * connections need its place.
   */
  readonly silenceMs: number;
}

/** Messages of the thread: first the port that it got, then the number of connections. */
export type FrontNews = { readonly port: number | undefined } | { readonly connections: number };

/** Detects clients that disappeared, so that they do not keep an export open without end. */
const KEEP_ALIVE_MS = 30_000;

/** The port; undefined if all are in use. */
async function listen(server: Server, { address, firstPort, lastPort }: FrontJob): Promise<number | undefined> {
  for (let port = firstPort; port <= lastPort; port++) {
    const taken = await new Promise<boolean>((resolve, reject) => {
      const onError = (error: Error) => {
        if (errnoOf(error) === 'EADDRINUSE') resolve(true);
        else reject(error);
      };
      server.once('error', onError);
      server.listen(port, address, () => {
        server.off('error', onError);
        resolve(false);
      });
    });
    if (!taken) return port;
  }
  return undefined;
}

/** Forwards both ways until either side closes. */
function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one);
  for (const [socket, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    // The other side notices; a broken connection needs no other handling.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => peer.destroy());
  }
}

/**
 * The flags and the option that begin TLS have 20 bytes (NBD, STARTTLS); more bytes than this mean
 * that TLS has begun.
 */
const BEGUN_BYTES = 64;

/** The open connections. A silent one does not count as a user of the export. */
class Guests {
  /** In order of arrival. */
  readonly #silent = new Map<Socket, NodeJS.Timeout>();
  readonly #heard = new Set<Socket>();
  #open = 0;

  constructor(
    private readonly job: FrontJob,
    private readonly say: (news: FrontNews) => void,
  ) {}

  /** False: there is no room, and no silent connection could be closed. */
  arrive(client: Socket): boolean {
    if (this.#open >= this.job.maxConnections) {
      const [oldest] = this.#silent.keys();
      if (oldest === undefined) return false;
      this.#forget(oldest);
      oldest.destroy();
    }
    this.#open += 1;
    this.#silent.set(
      client,
      setTimeout(() => client.destroy(), this.job.silenceMs),
    );
    client.on('data', () => {
      if (client.bytesRead <= BEGUN_BYTES || !this.#forget(client)) return;
      this.#heard.add(client);
      this.say({ connections: this.#heard.size });
    });
    client.once('close', () => {
      this.#open -= 1;
      this.#forget(client);
      if (this.#heard.delete(client)) this.say({ connections: this.#heard.size });
    });
    return true;
  }

  /** The connection is no longer silent. Returns whether it was. */
  #forget(client: Socket): boolean {
    clearTimeout(this.#silent.get(client));
    return this.#silent.delete(client);
  }
}

function serve(job: FrontJob, say: (news: FrontNews) => void): void {
  const guests = new Guests(job, say);
  const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  const server = createServer(options, (client) => {
    client.on('error', () => client.destroy());
    if (guests.arrive(client)) join(client, connect({ path: job.socket, allowHalfOpen: true }));
    else client.destroy();
  });
  void listen(server, job).then((port) => {
    say({ port });
  });
}

if (!isMainThread) {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what NbdFront gives
  serve(workerData as FrontJob, (news) => parentPort?.postMessage(news));
}
