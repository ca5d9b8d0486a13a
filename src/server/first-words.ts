/** Detects the protocol of a client by its first bytes, before it is authenticated. */
import type { Socket } from 'node:net';

export type Protocol = 'TLS' | 'HTTP/2' | 'HTTP/1' | 'neither HTTP nor TLS' | 'unknown';

/** The first byte of a handshake record (RFC 8446, 5.1), and its major version. */
const TLS_HANDSHAKE = [22, 3];
/** Bytes that are needed to recognise a protocol. */
const ENOUGH = 4;

/** The protocol of the first bytes; `unknown` if they are too few. */
export function protocolOf(head: Buffer): Protocol {
  if (head[0] === TLS_HANDSHAKE[0] && head[1] === TLS_HANDSHAKE[1]) return 'TLS';
  if (head.length < ENOUGH) return 'unknown';
  const text = head.toString('latin1', 0, 100);
  if (text.startsWith('PRI ')) return 'HTTP/2';
  return /^[A-Z]{3,}(?: |$)/.test(text) ? 'HTTP/1' : 'neither HTTP nor TLS';
}

/**
 * Waits for the first bytes of a connection, which remain to be read. Reports their protocol;
 * undefined if the client disconnects without sending any. Reports nothing if the daemon closes the
 * connection.
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
