/**
 * Names with several addresses, of which some do not answer: sockets whose queue is full, and that
 * take a connection later.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, Socket, type LookupFunction } from 'node:net';
import { connectAny } from '../../../src/adapters/http/connect-any.js';
import { scratchFolder } from '../../support/scratch.js';
import { until } from '../../support/until.js';

const SILENT = '127.0.0.12';
const GOOD = '127.0.0.13';
const REFUSING = '127.0.0.14';
/** Takes nobody until it reads a line. */
const QUEUE = `
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(0)
print("ready", flush=True); sys.stdin.readline(); kept = []
while True: kept.append(s.accept())
`;

describe('connecting to a name', () => {
  const scratch = scratchFolder();
  let port = 0;
  let queue: ChildProcess;
  const waiting: Socket[] = [];

  before(async () => {
    const server = createServer((socket) => socket.end());
    server.listen(0, GOOD);
    await once(server, 'listening');
    scratch.onEnd(() => new Promise((resolve) => server.close(resolve)));
    port = (server.address() as AddressInfo).port;
  });
  beforeEach(async () => {
    queue = spawn('python3', ['-c', QUEUE, SILENT, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    assert.ok(queue.stdout !== null);
    await once(queue.stdout, 'data');
    // Its queue has room for one, or two; then nothing is answered.
    for (let full = false; !full;) {
      const socket = connect(port, SILENT);
      socket.on('error', () => undefined);
      waiting.push(socket);
      full = await Promise.race([
        once(socket, 'connect').then(() => false),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 200)),
      ]);
    }
  });
  afterEach(async () => {
    for (const socket of waiting.splice(0)) socket.destroy();
    queue.kill('SIGKILL');
    await once(queue, 'exit');
  });

  const to = (addresses: readonly string[], timeoutMs = 20_000, signal = new AbortController().signal) => {
    const lookup: LookupFunction = (_, __, callback) => {
      callback(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      );
    };
    return connectAny({ host: 'many.example', port, lookup, timeoutMs, signal });
  };
  const reached = async (addresses: readonly string[]) => {
    const socket = await to(addresses);
    const { remoteAddress } = socket;
    socket.destroy();
    return remoteAddress;
  };

  for (const [title, addresses] of [
    ['that answers, behind one that is silent', [SILENT, GOOD]],
    ['that answers, behind one that refuses', [REFUSING, GOOD]],
    ['that answers, behind several of both', [REFUSING, SILENT, SILENT, REFUSING, GOOD]],
    ['that answers at once, before others', [GOOD, SILENT]],
  ] as const)
    it(`reaches the address ${title}`, async () => {
      assert.equal(await reached(addresses), GOOD);
    });
  it('does not give up an address that takes long when the others fail', async () => {
    let refused = false;
    const onSocket = (message: unknown) => {
      if (message instanceof Object && 'socket' in message && message.socket instanceof Socket)
        message.socket.once('error', () => (refused = true));
    };
    subscribe('net.client.socket', onSocket);
    const connecting = to([SILENT, REFUSING]);
    await until(() => refused).finally(() => unsubscribe('net.client.socket', onSocket));
    for (const socket of waiting.splice(0)) socket.destroy();
    queue.stdin?.write('go\n');
    const socket = await connecting;
    assert.equal(socket.remoteAddress, SILENT);
    socket.destroy();
  });
  it('ends when its time is over, when it is cancelled, and when all refuse', async () => {
    await assert.rejects(to([SILENT], 300), { code: 'ETIMEDOUT' });
    const cancel = new AbortController();
    const connecting = to([SILENT], 60_000, cancel.signal);
    cancel.abort();
    await assert.rejects(connecting);
    await assert.rejects(to([REFUSING]), { code: 'ECONNREFUSED' });
    await assert.rejects(to([REFUSING, REFUSING]), AggregateError);
    await assert.rejects(to([]), { code: 'ENOTFOUND' });
  });
  it('leaves no connection that nobody uses', async () => {
    const socket = await to([SILENT, GOOD]);
    socket.destroy();
    await until(() =>
      Promise.resolve(
        process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap').length <= waiting.length + 1,
      ),
    );
  });
});
