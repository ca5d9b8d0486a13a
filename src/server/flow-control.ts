import { setDefaultHighWaterMark } from 'node:stream';
import type { Server } from '@grpc/grpc-js';
import * as z from 'zod';

/**
 * Flow-control window for one stream and one connection: 64 KiB, the default, halves the rate of
 * uploads (measured).
 */
const WINDOW_BYTES = 1024 * 1024;

/**
 * Makes streams of messages buffer one message, for the handler or for the caller. It sets the
 * default of all object streams in this thread: grpc-js (1.14) creates those of calls with Node's
 * default of 16, of 1 MiB each for data streams.
 */
export function holdOneMessage(): void {
  setDefaultHighWaterMark(true, 1);
}

/** The part of an HTTP/2 session that is used here. */
export interface Session {
  settings(settings: { readonly initialWindowSize: number }): void;
  setLocalWindowSize(bytes: number): void;
  on(event: 'stream', listener: (stream: { once(event: 'close', listener: () => void): void }) => void): void;
}
interface Http2Server {
  on(event: 'session', listener: (session: Session) => void): void;
}

const http2Servers = z
  .instanceof(Map)
  .transform((map) =>
    [...map.keys()].filter((key): key is Http2Server => typeof key === 'object' && key !== null && 'on' in key),
  );

/**
 * Widens the windows of a bound server's connections, and reports each session while its connection
 * is injected. grpc-js' option for windows works only in clients (1.14:
 * `grpc-node.flow_control_window`), so this uses the HTTP/2 servers inside; if a later version
 * hides them, uploads are slower, and idle connections cannot be distinguished from busy ones.
 */
export function watchSessions(server: Server, onSession: (session: Session) => void): void {
  const found = http2Servers.safeParse(Reflect.get(server, 'http2Servers'));
  for (const http2Server of found.data ?? [])
    http2Server.on('session', (session) => {
      session.settings({ initialWindowSize: WINDOW_BYTES });
      session.setLocalWindowSize(WINDOW_BYTES);
      onSession(session);
    });
}
