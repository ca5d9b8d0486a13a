/** What a client says first: which protocol it speaks, before anybody knows who it is. */
import type { Socket } from 'node:net';

export type Protocol = 'TLS' | 'HTTP/2' | 'HTTP/1' | 'neither HTTP nor TLS' | 'unknown';

/** The first byte of a record with a handshake (RFC 8446, 5.1), and its major version. */
const TLS_HANDSHAKE = [22, 3];
/** Each protocol is known by so many bytes. */
const ENOUGH = 4;

/** By the bytes that came first; `unknown` where they are too few. */
export function protocolOf(head: Buffer): Protocol {
  if (head[0] === TLS_HANDSHAKE[0] && head[1] === TLS_HANDSHAKE[1]) return 'TLS';
  if (head.length < ENOUGH) return 'unknown';
  const text = head.toString('latin1', 0, 100);
  if (text.startsWith('PRI ')) return 'HTTP/2';
  return /^[A-Z]{3,}(?: |$)/.test(text) ? 'HTTP/1' : 'neither HTTP nor TLS';
}

/**
 * Waits for the first bytes of a connection, which stay to be read. Tells what protocol they are
 * of; undefined when the client leaves without a word. Says nothing of a connection that we end.
 */
export function hearFirst(socket: Socket, heard: (protocol: Protocol | undefined) => void): void {
  socket.once('readable', () => {
    const head: unknown = socket.read();
    if (!(head instanceof Buffer)) {
      if (socket.readableEnded || !socket.destroyed) heard(undefined);
      return;
    }
    socket.unshift(head);
    heard(protocolOf(head));
  });
}
