/** A server whose every answer is written out byte by byte. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface Asked {
  /** Of this path, from 0 on. */
  readonly turn: number;
  readonly path: string;
  readonly header: (name: string) => string | undefined;
  /** Of a range; undefined: the whole is asked for. */
  readonly from: number | undefined;
}

export interface Reply {
  readonly bytes: Buffer;
  /** How the connection ends. */
  readonly end?: 'close' | 'reset';
}

export class RawServer {
  readonly asked: Asked[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async start(reply: (asked: Asked) => Reply): Promise<RawServer> {
    const server = createServer();
    const made = new RawServer(server);
    server.on('connection', (socket) => {
      made.#sockets.add(socket);
      socket.once('close', () => made.#sockets.delete(socket));
      socket.on('error', () => undefined); // the daemon may leave first
      made.#answer(socket, reply);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return made;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${String(this.port)}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #answer(socket: Socket, reply: (asked: Asked) => Reply): void {
    let text = '';
    socket.on('data', (piece: Buffer) => {
      if (text.includes('\r\n\r\n')) return;
      text += piece.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      const asked = this.#askedOf(text);
      this.asked.push(asked);
      const { bytes, end = 'close' } = reply(asked);
      // A reset takes along what the other side has not read yet.
      socket.write(bytes, () => (end === 'close' ? socket.end() : setTimeout(() => socket.resetAndDestroy(), 100)));
    });
  }

  #askedOf(text: string): Asked {
    const [first = '', ...lines] = text.split('\r\n');
    const headers = new Map(lines.map((line) => [line.split(':')[0]?.toLowerCase(), line.replace(/^[^:]*: ?/, '')]));
    const [, from] = /^bytes=(\d+)-/.exec(headers.get('range') ?? '') ?? [];
    const path = first.split(' ')[1] ?? '';
    const turn = this.asked.filter((one) => one.path === path).length;
    return { turn, path, header: (name) => headers.get(name), from: from === undefined ? undefined : Number(from) };
  }
}

/** Lines of a head, and a body. */
export function answer(lines: readonly string[], body: Buffer = Buffer.alloc(0), eol = '\r\n'): Buffer {
  return Buffer.concat([Buffer.from([...lines, '', ''].join(eol), 'utf8'), body]);
}

export function chunked(body: Buffer, last = '0\r\n\r\n'): Buffer {
  const head = body.length === 0 ? '' : `${body.length.toString(16)}\r\n`;
  return Buffer.concat([Buffer.from(head), body, Buffer.from(`${body.length === 0 ? '' : '\r\n'}${last}`)]);
}
