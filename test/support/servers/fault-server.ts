/** A web server whose every file can misbehave in its own way, and that counts what it sends. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a file is served. */
export interface Faults {
  /** Status of GET, for the first so many requests. */
  readonly status?: { readonly code: number; readonly times: number; readonly retryAfter?: string };
  /** Whoever does not say so gets 401. */
  readonly authorization?: string;
  readonly noRanges?: boolean;
  /** Parts are sent whatever If-Range says. */
  readonly ignoresCondition?: boolean;
  /** 206 is answered with the whole file. */
  readonly wholeForRange?: boolean;
  /** Bytes to which the line breaks, for the first so many requests. */
  readonly cutAfter?: { readonly bytes: number; readonly times: number };
  /** From here on nothing comes any more, and the line stays open. */
  readonly stopAfter?: { readonly bytes: number; readonly times: number };
  readonly bytesPerSecond?: number;
  /** Added to what Content-Length says. */
  readonly lengthError?: number;
  /** It comes in chunks. */
  readonly noLength?: boolean;
  /** The end of the connection is the only end that it has. */
  readonly noEnd?: boolean;
  readonly contentType?: string;
  readonly redirect?: string;
  readonly noValidator?: boolean;
  /** What is served from the second request on. */
  readonly laterContent?: Buffer;
}

interface File {
  readonly content: Buffer;
  readonly faults: Faults;
  requests: number;
  sentBytes: number;
  readonly seen: IncomingMessage['headers'][];
}

const SLICE_BYTES = 64 * 1024;
const SLICES_PER_SECOND = 20;

export class FaultServer {
  readonly #files = new Map<string, File>();
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FaultServer> {
    const server = createServer();
    const made = new FaultServer(server);
    server.on('request', (request, response) => void made.#serve(request, response));
    server.on('connection', (socket) => {
      made.#sockets.add(socket);
      socket.once('close', () => made.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return made;
  }

  get origin(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  /** Its URL. */
  add(name: string, content: Buffer, faults: Faults = {}): string {
    this.#files.set(`/${name}`, { content, faults, requests: 0, sentBytes: 0, seen: [] });
    return `${this.origin}/${name}`;
  }

  file(name: string): File {
    const file = this.#files.get(`/${name}`);
    if (file === undefined) throw new Error(`no file ${name}`);
    return file;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = this.#files.get((request.url ?? '').replace(/\?.*/, ''));
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    if (request.method === 'HEAD') {
      response.writeHead(403).end();
      return;
    }
    const turn = file.requests++;
    file.seen.push(request.headers);
    const { faults } = file;
    const { status, redirect, authorization } = faults;
    if (authorization !== undefined && request.headers.authorization !== authorization) response.writeHead(401).end();
    else if (redirect !== undefined) response.writeHead(302, { location: redirect }).end();
    else if (status !== undefined && turn < status.times)
      response
        .writeHead(status.code, status.retryAfter === undefined ? {} : { 'retry-after': status.retryAfter })
        .end();
    else await this.#send(request, response, file, turn);
  }

  async #send(request: IncomingMessage, response: ServerResponse, file: File, turn: number): Promise<void> {
    const { faults } = file;
    const content = turn > 0 && faults.laterContent !== undefined ? faults.laterContent : file.content;
    const tag = `"${createHash('md5').update(content).digest('hex')}"`;
    const { range, 'if-range': condition, 'if-none-match': known } = request.headers;
    if (known === tag) {
      response.writeHead(304).end();
      return;
    }
    const wanted = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const holds = condition === undefined || condition === tag || faults.ignoresCondition === true;
    if (wanted >= content.length && range !== undefined && holds) {
      response.writeHead(416, { 'content-range': `bytes */${String(content.length)}` }).end();
      return;
    }
    const partial = range !== undefined && holds && faults.noRanges !== true && faults.wholeForRange !== true;
    const from = partial ? wanted : 0;
    if (faults.noEnd === true) response.removeHeader('transfer-encoding');
    response.writeHead(partial ? 206 : 200, {
      'content-type': faults.contentType ?? 'application/octet-stream',
      ...(faults.noLength === true || faults.noEnd === true
        ? {}
        : { 'content-length': String(content.length - from + (faults.lengthError ?? 0)) }),
      ...(faults.noValidator === true ? {} : { etag: tag }),
      ...(partial
        ? { 'content-range': `bytes ${String(from)}-${String(content.length - 1)}/${String(content.length)}` }
        : {}),
    });
    await this.#body(response, file, content.subarray(from), turn);
  }

  async #body(response: ServerResponse, file: File, body: Buffer, turn: number): Promise<void> {
    const { cutAfter, stopAfter, bytesPerSecond } = file.faults;
    const cut = cutAfter !== undefined && turn < cutAfter.times ? cutAfter.bytes : Infinity;
    const stop = stopAfter !== undefined && turn < stopAfter.times ? stopAfter.bytes : Infinity;
    const slice =
      bytesPerSecond === undefined ? SLICE_BYTES : Math.max(1, Math.ceil(bytesPerSecond / SLICES_PER_SECOND));
    for (let at = 0; at < body.length && !response.destroyed;) {
      const end = Math.min(body.length, at + slice, cut, stop);
      if (end > at) {
        const more = response.write(body.subarray(at, end));
        file.sentBytes += end - at;
        at = end;
        if (!more && !response.closed)
          await new Promise<void>((resolve) => {
            const go = () => {
              response.off('drain', go).off('close', go);
              resolve();
            };
            response.on('drain', go).on('close', go);
          });
      }
      if (at >= cut) {
        // What was written arrives before the line breaks.
        await sleep(50);
        response.destroy();
        return;
      }
      if (at >= stop) return;
      if (bytesPerSecond !== undefined) await sleep((slice / bytesPerSecond) * 1000);
    }
    response.end();
  }
}
