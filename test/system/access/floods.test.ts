/**
 * One caller, or nobody at all, asks for more than there is, while another goes on as if nothing
 * were.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const BATCH = 250;
const MOST_MEMORY = 700 * 1024 * 1024;
const ARCHITECTURE = '/hostler.v1.HostInfoService/GetArchitecture';

describe('floods', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'] });
    for (const name of ['modest', 'greedy']) await pki.issue('client', name);
  });
  const daemon = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    // Thousands of streams that are opened in one moment are one turn; how others fare meanwhile is
    // measured here.
    heldMs: 2000,
    toml: [
      pki.toml(),
      ...['modest', 'greedy'].map((name) => `[[callers]]\nname = "cn:${name}"\nrole = "operator"`),
      '[limits]\nhandshake_seconds = 2\nunread_seconds = 1\nfirst_message_seconds = 3\n',
    ].join('\n'),
  }));
  let modest: Stranger;
  const sessions: ClientHttp2Session[] = [];
  const port = () => Number(daemon.get().tcp.split(':')[1]);
  before(async () => {
    modest = new Stranger(`localhost:${String(port())}`, pki.proof('modest'));
    await writeFile(daemon.get().image('small.raw'), Buffer.alloc(4096));
    await writeFile(daemon.get().image('large.raw'), Buffer.alloc(16 << 20, 7));
  });
  after(() => {
    modest.close();
    for (const session of sessions) session.destroy();
  });

  /** A bare HTTP/2 connection of the greedy caller. */
  const greedy = async (options: object = {}): Promise<ClientHttp2Session> => {
    const [ca, cert, key] = await Promise.all(
      ['ca.pem', 'greedy.pem', 'greedy.key'].map((name) => readFile(pki.path(name))),
    );
    for (;;) {
      const session = connectHttp2(`https://localhost:${String(port())}`, { ca, cert, key, ...options });
      sessions.push(session);
      session.on('error', () => undefined);
      // The daemon may close it before it is one.
      await Promise.race([once(session, 'connect'), once(session, 'close')]);
      if (!session.destroyed) return session;
    }
  };
  const request = (session: ClientHttp2Session, path: string, headers: object = {}): ClientHttp2Stream => {
    const stream = session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
      { endStream: false },
    );
    stream.on('error', () => undefined);
    return stream;
  };
  /** The flood, while the other caller asks what it always asks; its answers and their times. */
  const during = async (title: string, flood: () => Promise<void>): Promise<void> => {
    const times: number[] = [];
    const proc = `/proc/${String(daemon.get().process.pid)}`;
    // From here on the peak is counted anew.
    await writeFile(`${proc}/clear_refs`, '5');
    const over = new AbortController();
    const asking = (async () => {
      while (!over.signal.aborted || times.length < 20) {
        const started = performance.now();
        await modest.unary('ImageService/GetImageInfo', { path: daemon.get().image('small.raw') });
        times.push(performance.now() - started);
        await sleep(2);
      }
    })();
    try {
      await flood();
    } finally {
      over.abort();
      await asking;
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => `${(times[Math.floor(times.length * part)] ?? 0).toFixed(1)} ms`;
    assert.equal(daemon.get().process.exitCode, null);
    const kib = Number(/VmHWM:\s+(\d+)/.exec(await readFile(`${proc}/status`, 'utf8'))?.[1]);
    const figures = [`median ${at(0.5)}`, `p99 ${at(0.99)}`, `${String(times.length)} calls`];
    figures.push(`the daemon at most ${String(Math.round(kib / 1024))} MiB`);
    process.stdout.write(`      GetImageInfo during ${title}: ${figures.join(', ')}\n`);
    assert.ok(kib * 1024 < MOST_MEMORY, `${String(kib)} KiB`);
  };

  it('nothing: what the figures below are to be compared with', () => during('nothing', () => sleep(1000)));

  it('10,000 half-open connections', async () => {
    let closed = 0;
    await during('10,000 half-open connections', async () => {
      for (let made = 0; made < 10_000; made += BATCH) {
        const batch = Array.from({ length: BATCH }, () => connect(port(), '127.0.0.1'));
        await Promise.all(batch.map((socket) => once(socket, 'connect')));
        for (const socket of batch) {
          socket.on('error', () => undefined);
          socket.once('close', () => (closed += 1));
          socket.resume();
        }
      }
      // The oldest made room for the newest; the last of them are silent for too long.
      await until(() => closed === 10_000);
    });
  }).timeout(120_000);

  it('silent connections are ended, on every kind of address', async () => {
    const silent = [connect(port(), '127.0.0.1'), connect(`${scratch.path('daemon')}/s.sock`)];
    await Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
    // One that has begun its handshake is none the better for it.
    const begun: Socket = connect(port(), '127.0.0.1');
    begun.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
    await once(begun.resume(), 'close');
  });

  it('10,000 idle streams', async () => {
    const codes = new Map<string, number>();
    await during('10,000 idle streams', async () => {
      const all = await Promise.all(Array.from({ length: 10 }, () => greedy()));
      const ended = all.flatMap((session) =>
        Array.from({ length: 1000 }, async () => {
          const stream = request(session, ARCHITECTURE);
          let code = 'closed';
          stream.on('response', (headers) => {
            code = headers['grpc-status'] as string;
            // grpc-js leaves it to the client to end a stream of which it has had the status.
            stream.close();
          });
          await new Promise((resolve) => stream.once('close', resolve));
          codes.set(code, (codes.get(code) ?? 0) + 1);
        }),
      );
      await Promise.all(ended);
    });
    assert.equal(
      [...codes.values()].reduce((sum, count) => sum + count, 0),
      10_000,
    );
    // Those that are too many for one caller are refused at once; the others say nothing for too
    // long.
    assert.deepEqual([...codes.keys()].sort(), ['4', '8']);
  }).timeout(120_000);

  it('messages of 4 MiB and a byte', async () => {
    const large = { image_architecture: 'x'.repeat(4 * 1024 * 1024 + 1) };
    const client = new Stranger(`localhost:${String(port())}`, pki.proof('greedy'));
    await during('messages of 4 MiB + 1', async () => {
      for (let n = 0; n < 20; n++)
        assert.equal((await failure(client.unary('HostInfoService/GetArchitecture', large))).reason, 'INVALID_FIELD');
    });
    client.close();
  });

  it('header bombs', async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`x-${String(n)}`, 'y']));
    const long = { 'x-long': 'y'.repeat(120_000) };
    await during('header bombs', async () => {
      for (let n = 0; n < 40; n++) {
        const session = await greedy({ maxSendHeaderBlockLength: 1 << 20 });
        const stream = request(session, ARCHITECTURE, n % 2 === 0 ? many : long);
        let status: unknown;
        stream.on('response', (headers) => (status = headers[':status']));
        stream.end();
        await new Promise((resolve) => stream.once('close', resolve));
        assert.ok(status === undefined || status === 431, String(status));
        session.destroy();
      }
    });
  });

  it('rapid resets', async () => {
    let reset = 0;
    let cut = 0;
    // On a busy machine it is a while until either side gets round to it.
    const enough = () => reset >= 10_000 && (cut > 0 || reset >= 100_000);
    await during('10,000 rapid resets', async () => {
      while (!enough()) {
        const session = await greedy();
        const ended = new AbortController();
        for (const event of ['goaway', 'close']) session.once(event, () => ended.abort());
        // A client whose connection is cut while it writes may never read that.
        for (let own = 0; own < 5000 && !ended.signal.aborted && !enough(); own += 100) {
          const streams = Array.from({ length: 100 }, () => request(session, ARCHITECTURE));
          // One that is reset before it was sent is never sent.
          await sleep(1);
          for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
          reset += streams.length;
        }
        if (ended.signal.aborted) cut += 1;
        session.destroy();
      }
    });
    assert.ok(cut > 0, 'nobody cut the connection');
  });

  it('readers that never read', async () => {
    const session = await greedy({ settings: { initialWindowSize: 1000 } });
    const path = Buffer.from(daemon.get().image('large.raw'));
    const message = Buffer.concat([Buffer.from([0, 0, 0, 0, path.length + 2, 10, path.length]), path]);
    await during('50 readers that never read', async () => {
      for (let n = 0; n < 50; n++) request(session, '/hostler.v1.FileService/ReadFile').end(message);
      const slow = () =>
        daemon
          .get()
          .records()
          .filter(({ reason }) => reason === 'WATCHER_TOO_SLOW').length;
      await until(() => slow() === 50);
    });
    session.destroy();
  });

  it('calls without end', async () => {
    const clients = Array.from(
      { length: 4 },
      () => new Stranger(`localhost:${String(port())}`, pki.proof('greedy'), { 'grpc.use_local_subchannel_pool': 1 }),
    );
    await during('200 callers at a time that never pause', async () => {
      const until = Date.now() + 3000;
      await Promise.all(
        clients.flatMap((client) =>
          Array.from({ length: 50 }, async () => {
            while (Date.now() < until)
              await client.unary('ImageService/GetImageInfo', { path: daemon.get().image('small.raw') });
          }),
        ),
      );
    });
    for (const client of clients) client.close();
  });
});

describe('a queue that one caller fills', () => {
  const scratch = scratchFolder();

  it('lets the next one of another caller in before the rest', async () => {
    const folder = scratch.path('queue');
    const daemon = await Daemon.start(folder, {
      toml: `[[listeners]]\naddress = "unix://${folder}/other.sock"\nrole = "operator"\n[limits]\nrunning_operations = 1\n`,
    });
    scratch.onEnd(() => daemon.stop());
    await writeFile(daemon.image('source.raw'), Buffer.alloc(1 << 20, 7));
    const other = new Stranger(`unix://${folder}/other.sock`);
    const convert = (stranger: Stranger, name: string): Promise<Message[]> =>
      stranger.all('ImageService/ConvertImage', {
        source: daemon.image('source.raw'),
        source_format: 'raw',
        target: daemon.image(name),
        target_format: 'raw',
        bandwidth_bytes_per_second: String(2 << 20),
      });
    const many = Array.from({ length: 10 }, (_, n) => convert(daemon.stranger, `many-${String(n)}`));
    await daemon.stranger.unary('OperationService/ListOperations');
    await convert(other, 'one');
    const done = daemon.records().filter(({ message, state }) => message === 'operation' && state === 'SUCCEEDED');
    other.close();
    assert.ok(done.length <= 4, `${String(done.length)} were done before it`);
    await daemon.stranger.unary('OperationService/CancelOperation', { labels: { none: 'none' } });
    await Promise.all(many);
  });
});
