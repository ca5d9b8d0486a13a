/** A name server on an address of the loopback that answers as a test wants it. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';

const DNS_PORT = 53;
const HEADER_BYTES = 12;
const [TYPE_A, CLASS_IN] = [1, 1];

export class NameServer {
  /**
   * What is answered to the next questions for an IPv4 address, one after the other; the last one
   * stays.
   */
  answers: readonly (readonly string[])[] = [];
  questions = 0;

  private constructor(
    readonly address: string,
    private readonly socket: Socket,
  ) {}

  static async start(): Promise<NameServer> {
    const address = `127.${[randomInt(1, 255), randomInt(255), randomInt(1, 255)].join('.')}`;
    const socket = createSocket('udp4');
    const server = new NameServer(address, socket);
    socket.on('message', (question, { port, address: asker }) => {
      socket.send(server.#answer(question), port, asker);
    });
    socket.bind(DNS_PORT, address);
    await once(socket, 'listening');
    return server;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.socket.close(resolve));
  }

  /** RFC 1035: the question again, and an A record for each address. */
  #answer(question: Buffer): Buffer {
    const end = question.indexOf(0, HEADER_BYTES) + 5;
    const isA = question.readUInt16BE(end - 4) === TYPE_A;
    const addresses = isA ? (this.answers[Math.min(this.questions++, this.answers.length - 1)] ?? []) : [];
    const head = Buffer.concat([question.subarray(0, 2), Buffer.alloc(HEADER_BYTES - 2)]);
    head.writeUInt16BE(0x8180, 2); // an answer, without error
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(addresses.length, 6);
    const records = addresses.map((address) => {
      const record = Buffer.alloc(16);
      record.writeUInt16BE(0xc000 | HEADER_BYTES, 0); // the name in the question
      record.writeUInt16BE(TYPE_A, 2);
      record.writeUInt16BE(CLASS_IN, 4);
      record.writeUInt16BE(4, 10);
      address.split('.').forEach((part, n) => record.writeUInt8(Number(part), 12 + n));
      return record;
    });
    return Buffer.concat([head, question.subarray(HEADER_BYTES, end), ...records]);
  }
}
