/** Whoever connects to an export and says nothing keeps nobody out, and does not keep it open. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { NbdFront } from '../../src/adapters/qemu/nbd-front.js';
import { scratchFolder } from '../support/scratch.js';
import { until } from '../support/until.js';

const MAX = 4;
const HELLO = Buffer.alloc(200, 7);

describe('connections to an export', () => {
  const scratch = scratchFolder();
  const sockets: Socket[] = [];
  const guest = async (port: number): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket.on('error', () => undefined));
    await once(socket, 'connect');
    return socket;
  };
  const front = async (name: string, silenceMs: number): Promise<NbdFront> => {
    const tool = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    const socket = scratch.path(name);
    tool.listen(socket);
    await once(tool, 'listening');
    const job = { address: '127.0.0.1', firstPort: 26_600, lastPort: 26_650, socket, maxConnections: MAX, silenceMs };
    const made = new NbdFront(job, (error) => assert.fail(error));
    scratch.onEnd(async () => {
      for (const each of sockets) each.destroy();
      await made.end();
      tool.close();
    });
    return made;
  };
  const speaks = async (socket: Socket): Promise<void> => {
    socket.write(HELLO);
    let bytes = 0;
    for await (const piece of socket) {
      bytes += (piece as Buffer).length;
      if (bytes >= HELLO.length) return;
    }
    assert.fail('it was closed');
  };

  it('that are silent make room, the oldest first, and do not count', async () => {
    const made = await front('room', 60_000);
    const port = await made.port;
    const silent: Socket[] = [];
    for (let n = 0; n < MAX; n++) silent.push(await guest(port));
    silent[1]?.write(Buffer.alloc(20)); // begins, and says no more
    const ended = silent.slice(0, 2).map((socket) => once(socket.resume(), 'close'));
    const [first, second] = [await guest(port), await guest(port)];
    await Promise.all(ended);
    await Promise.all([first, second].map(speaks));
    await until(() => made.connections <= 2);
    assert.ok(silent.slice(2).every((socket) => !socket.destroyed));
  });

  it('that are silent end by themselves, those that speak do not', async () => {
    const made = await front('time', 3000);
    const port = await made.port;
    const speaking = await guest(port);
    speaking.write(HELLO);
    await until(() => made.connections === 1);
    await Promise.all([await guest(port), await guest(port)].map((socket) => once(socket.resume(), 'close')));
    assert.equal(made.connections, 1);
    assert.ok(!speaking.destroyed);
    speaking.destroy();
    await until(() => made.connections === 0);
  });
});
