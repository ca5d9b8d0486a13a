/** Connections on which nobody calls do not keep those out who do. */
import assert from 'node:assert/strict';
import { credentials, status } from '@grpc/grpc-js';
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger } from '../../support/stranger.js';

/** More than one caller, and everybody in the clear is one, may have. */
const MANY = 60;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

describe('idle connections', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    http: '127.0.0.1:0',
    toml: '[limits]\nconnections_per_caller = 20\nhandshake_seconds = 2\n',
  }));
  const port = () => Number(daemon.get().tcp.split(':')[1]);
  const sockets: Socket[] = [];
  const sessions: ClientHttp2Session[] = [];
  const strangers: Stranger[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const session of sessions.splice(0)) session.destroy();
    for (const stranger of strangers.splice(0)) stranger.close();
  });

  const silent = async (bytes: string): Promise<Socket> => {
    const socket = connect(port(), '127.0.0.1');
    sockets.push(socket.resume());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    if (bytes !== '') socket.write(bytes);
    return socket;
  };
  const idle = async (): Promise<void> => {
    const session = connectHttp2(`http://127.0.0.1:${String(port())}`);
    sessions.push(session);
    session.on('error', () => undefined);
    await once(session, 'connect');
  };
  const another = (): Stranger => {
    // Clients of one process share their connections unless told otherwise.
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const stranger = new Stranger(`127.0.0.1:${String(port())}`, credentials.createInsecure(), options);
    strangers.push(stranger);
    return stranger;
  };
  const answers = async () => {
    assert.equal((await another().unary('HostInfoService/ValidateHostname', { hostname: 'a' }))['valid'], true);
  };

  for (const [what, open] of [
    ['say nothing', () => silent('')],
    ['said one byte', () => silent('P')],
    ['said the preface and no more', () => silent(PREFACE)],
    ['are whole, with no call on them', idle],
  ] as const)
    it(`the next call is answered after ${String(MANY)} connections that ${what}`, async () => {
      for (let n = 0; n < MANY; n++) await open();
      await answers();
    });

  it('a connection that begins and does not go on is ended in time', async () => {
    for (const bytes of ['', 'P', PREFACE]) await once(await silent(bytes), 'close');
  });

  it('a connection with an open call is not ended to make room', async () => {
    const busy = another();
    const watch = busy.stream('OperationService/WatchOperations', {});
    const ended = once(watch, 'error').then(([error]) => error as Error);
    // Answered on the same connection, so the watch has arrived.
    await busy.unary('OperationService/ListOperations');
    for (let n = 0; n < MANY; n++) await idle();
    await answers();
    let over = false;
    void ended.then(() => (over = true));
    // The end of their connection would be heard before this answer.
    await busy.unary('OperationService/ListOperations');
    assert.equal(over, false);
    watch.cancel();
    await ended;
  });

  it('where every connection has an open call, the next one is refused', async () => {
    const watches = Array.from({ length: 20 }, () => another().stream('OperationService/WatchOperations', {}));
    for (const watch of watches) watch.on('error', () => undefined);
    for (const stranger of strangers) await stranger.unary('OperationService/ListOperations');
    await assert.rejects(answers(), { code: status.UNAVAILABLE });
    assert.match(await daemon.get().metrics(), /refused_total\{kind="too_many_of_the_caller"\} [1-9]/);
    for (const watch of watches) watch.cancel();
  });
});
