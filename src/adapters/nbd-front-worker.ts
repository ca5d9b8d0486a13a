/** A thread that brings TCP connections to a tool's socket. See NbdFront. */
import { createServer, connect, type Server, type Socket } from 'node:net';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { errnoOf } from './errno.js';

export interface FrontJob {
  /** Where it listens: on the first port that is free. */
  readonly address: string;
  readonly firstPort: number;
  readonly lastPort: number;
  /** The tool's socket. */
  readonly socket: string;
  readonly maxConnections: number;
}

/** What the thread says: once the port that it has, then how many are connected. */
export type FrontNews = { readonly port: number | undefined } | { readonly connections: number };

/** So that a client that is gone without a word does not keep an export open for ever. */
const KEEP_ALIVE_MS = 30_000;

/** The port; undefined when every one is taken. */
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

/** Both ways, until either side is gone. */
function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one);
  for (const [socket, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    // The other side notices: that is all there is to do about a connection that broke.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => peer.destroy());
  }
}

function serve(job: FrontJob, say: (news: FrontNews) => void): void {
  let connections = 0;
  const count = (change: 1 | -1) => {
    connections += change;
    say({ connections });
  };
  const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  const server = createServer(options, (client) => {
    count(1);
    client.on('close', () => {
      count(-1);
    });
    join(client, connect({ path: job.socket, allowHalfOpen: true }));
  });
  server.maxConnections = job.maxConnections;
  void listen(server, job).then((port) => {
    say({ port });
  });
}

if (!isMainThread) {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what NbdFront gives
  serve(workerData as FrontJob, (news) => parentPort?.postMessage(news));
}
