import type { ListenOptions, Server } from 'node:net';
import { whyRefused } from '../domain/model/own-files.js';
import { ListenError } from './unix-socket.js';

/**
 * Resolves when the server listens; it has no listener for errors then. Fails with ListenError,
 * which names `what`. Only later errors are about connections: their listener is added after this.
 */
export async function startListening(server: Server, where: ListenOptions, what: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error) => {
      reject(new ListenError(`cannot listen on ${what}: ${whyRefused(error) ?? error.message}`));
    };
    server.once('error', fail);
    server.listen(where, () => {
      server.off('error', fail);
      resolve();
    });
  });
}
