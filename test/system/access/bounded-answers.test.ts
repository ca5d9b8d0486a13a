/**
 * What one caller's answers hold in the daemon's memory, while they are made and until they are
 * read.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { manySnapshots } from '../../support/bounds/many-snapshots.js';
import { forgetPeak, peakMib } from '../../support/bounds/memory.js';
import { suiteDaemon } from '../../support/daemon.js';
import { endOf, framed, openCall } from '../../support/servers/raw-calls.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

/** An idle daemon has 140, and the answers of one caller 48. */
const MOST_MIB = 420;
const UNREAD_SECONDS = 3;

/** A daemon and the connections of a caller who asks for much. */
interface Greedy {
  /** A connection whose caller has a window of so many bytes for each answer. */
  readonly connected: (initialWindowSize: number) => Promise<ClientHttp2Session>;
  readonly ask: (session: ClientHttp2Session, rpc: string, file: string, timeout?: string) => ClientHttp2Stream;
  readonly assertBounded: () => Promise<void>;
  readonly othersAreServed: () => Promise<void>;
  /** The path of an image with thousands of snapshots, and that of any file. */
  readonly path: () => string;
  readonly file: (name: string) => string;
}

/** @param limits of the daemon; it has the rest by default */
function longAnswers(title: string, limits: string, tests: (daemon: Greedy) => void): void {
  describe(title, () => {
    const scratch = scratchFolder();
    const socket = (name: string) => `${scratch.path('daemon')}/${name}.sock`;
    const daemon = suiteDaemon(scratch, () => ({
      toml: [
        ...['greedy', 'modest'].map((name) => `[[listeners]]\naddress = "unix://${socket(name)}"\nrole = "admin"`),
        limits,
      ].join('\n'),
    }));
    const sessions: ClientHttp2Session[] = [];
    let modest: Stranger;
    let snapshots: number;
    const path = () => daemon.get().image('snapshots.qcow2');
    before(async () => {
      modest = new Stranger(`unix://${socket('modest')}`);
      snapshots = await manySnapshots(path());
      await writeFile(daemon.get().image('bytes'), Buffer.alloc(16 << 20, 7));
    });
    after(() => modest.close());
    beforeEach(() => forgetPeak(daemon.get().process.pid));
    afterEach(() => {
      for (const session of sessions.splice(0)) session.destroy();
    });

    const connected = async (initialWindowSize: number) => {
      const session = connectHttp2('http://localhost', {
        createConnection: () => connect(socket('greedy')),
        settings: { initialWindowSize },
        peerMaxConcurrentStreams: 1000,
      });
      session.on('error', () => undefined).setMaxListeners(0);
      await once(session, 'connect');
      sessions.push(session);
      return session;
    };
    const ask = (session: ClientHttp2Session, rpc: string, file: string, timeout?: string): ClientHttp2Stream => {
      const stream = openCall(session, `/hostler.v1.${rpc}`, timeout);
      const request = new BinaryWriter().tag(1, WireType.LengthDelimited).string(file);
      if (rpc.startsWith('Image')) request.tag(2, WireType.LengthDelimited).string('qcow2');
      stream.end(framed(request.finish()));
      return stream;
    };
    const assertBounded = async () => {
      const mib = await peakMib(daemon.get().process.pid);
      assert.ok(mib < MOST_MIB, `the daemon took ${String(mib)} MiB`);
    };
    const othersAreServed = async () => {
      const { info } = await modest.unary('ImageService/GetImageInfo', { path: path() });
      assert.equal(((info as Message)['snapshots'] as unknown[]).length, snapshots);
    };

    tests({ connected, ask, assertBounded, othersAreServed, path, file: (name) => daemon.get().image(name) });
  });
}

longAnswers('long answers of one caller who reads', '', ({ connected, ask, assertBounded, othersAreServed, path }) => {
  for (const rpc of ['ImageService/GetImageInfo', 'ImageService/ListSnapshots'])
    it(`${rpc}, 100 at once that are read: each is answered`, async () => {
      const session = await connected(1 << 20);
      const ends = Array.from({ length: 100 }, () => endOf(ask(session, rpc, path())));
      await othersAreServed();
      assert.deepEqual(
        (await Promise.all(ends)).filter((error) => error !== undefined),
        [],
      );
      await assertBounded();
    }).timeout(120_000);
});

longAnswers(
  'long answers of one caller',
  `[limits]\nunread_seconds = ${String(UNREAD_SECONDS)}`,
  ({ connected, ask, assertBounded, othersAreServed, path, file: fileAt }) => {
    for (const [rpc, file] of [
      ['ImageService/GetImageInfo', 'snapshots.qcow2'],
      ['ImageService/ListSnapshots', 'snapshots.qcow2'],
      ['FileService/ReadFile', 'bytes'],
    ] as const)
      it(`${rpc}, 300 that nobody reads: they wait, end by themselves, and then the caller is served`, async () => {
        const session = await connected(0);
        const streams = Array.from({ length: 300 }, () => ask(session, rpc, fileAt(file)));
        const ended = () => streams.filter(({ closed }) => closed).length;
        await othersAreServed();
        await until(() => ended() > 0);
        await assertBounded();
        for (const stream of streams) stream.close(8);
        assert.equal(await endOf(ask(await connected(1 << 20), rpc, fileAt(file))), undefined);
      }).timeout(120_000);

    it('calls that were given up at once: what they read is bounded all the same', async () => {
      const session = await connected(1 << 20);
      for (let n = 0; n < 100; n++) {
        const stream = ask(session, 'ImageService/GetImageInfo', path());
        setImmediate(() => stream.close(8));
      }
      await othersAreServed();
      assert.equal(await endOf(ask(session, 'ImageService/GetImageInfo', path())), undefined);
      await assertBounded();
    });

    // Node sends empty frames for ever on a stream that was taken away with bytes unsent and no reset.
    for (const [title, timeout, give] of [
      ['the daemon drops them', undefined, () => undefined],
      ['their deadline passes', '500m', () => undefined],
      ['their caller resets them without an error', undefined, (stream) => stream.close(constants.NGHTTP2_NO_ERROR)],
      ['their caller cancels them', undefined, (stream) => stream.close(constants.NGHTTP2_CANCEL)],
    ] as const satisfies readonly (readonly [string, string | undefined, (stream: ClientHttp2Stream) => void])[])
      it(`the window opens when nobody has read and ${title}: others are served`, async () => {
        const session = await connected(0);
        const streams = Array.from({ length: 20 }, () =>
          ask(session, 'FileService/ReadFile', fileAt('bytes'), timeout),
        );
        await Promise.all(streams.map((stream) => once(stream, 'response')));
        for (const stream of streams) give(stream);
        await until(() => streams.every(({ closed }) => closed));
        session.settings({ initialWindowSize: 1 << 20 });
        assert.equal(await endOf(ask(session, 'FileService/ReadFile', fileAt('bytes'))), undefined);
        await othersAreServed();
        await assertBounded();
      }).timeout(120_000);
  },
);
