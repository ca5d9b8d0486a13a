/**
 * What one caller can cost with the RPCs for lists, watches, folders and names: as many calls at
 * once as a connection has streams for. The daemon starts anew before each, so that its peak is
 * that of one flood. docs/understand/floods.md has the figures.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, utimes, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import {
  CreateDirectoryRequest,
  ListDirectoryRequest,
  MoveFileRequest,
  RemoveDirectoryRequest,
} from '../../src/gen/hostler/v1/file_service.js';
import {
  BatchGetImageInfoRequest,
  ListImagesRequest,
  WatchImagesRequest,
} from '../../src/gen/hostler/v1/image_service.js';
import { WatchOperationsRequest } from '../../src/gen/hostler/v1/operation_service.js';
import { forgetPeak, peakMib } from '../support/bounds/memory.js';
import { Daemon } from '../support/daemon.js';
import { scratchFolder } from '../support/scratch.js';
import { endOf, framed, openCall } from '../support/servers/raw-calls.js';
import { sh } from '../support/shell.js';
import { Stranger } from '../support/stranger.js';
import { until } from '../support/until.js';

const MOST_MIB = 700;
const CALLS = 1000;
const WATCHES = 256;
/** More than a caller may have at work and in the queue. */
const OPERATIONS = 300;
/** So many calls have ended when the peak is read: all others are at work or in the queue by then. */
const ANSWERED = OPERATIONS / 3;
const IMAGES = 500;
const NAMES = 5000;
/** A list of so many paths is 0.6 MB. */
const PATHS = 10_000;

interface Flood {
  readonly rpc: string;
  readonly role: 'viewer' | 'operator';
  readonly calls: number;
  /** Unread: its caller has a window of no byte. */
  readonly unread?: true;
  readonly request: (n: number) => Uint8Array;
  /** What happens while the calls are open. */
  readonly meanwhile?: () => Promise<unknown>;
}

describe('floods of calls', function () {
  this.timeout(240_000);
  const scratch = scratchFolder();
  const folder = () => scratch.path('daemon');
  const images = () => `${folder()}/images`;
  const at = (name: string) => `${images()}/${name}`;
  const socket = (role: string) => `${folder()}/${role}.sock`;
  let daemon: Daemon | undefined;
  const sessions: ClientHttp2Session[] = [];

  const start = async () => {
    const listeners = ['viewer', 'operator'].map(
      (role) => `[[listeners]]\naddress = "unix://${socket(role)}"\nrole = "${role}"`,
    );
    const toml = [...listeners, '[limits]\nunread_seconds = 5'].join('\n');
    // A thousand calls that are opened at once are one turn.
    daemon = await Daemon.start(folder(), { toml, heldMs: 2000 });
    return daemon;
  };
  before(async () => {
    await start();
    await writeFile(at('old-image'), Buffer.alloc(4096));
    await Promise.all(Array.from({ length: OPERATIONS }, (_, n) => mkdir(at(`empty-${String(n)}`))));
    await Promise.all(Array.from({ length: OPERATIONS }, (_, n) => writeFile(at(`old-${String(n)}`), 'x')));
  });
  afterEach(() => {
    for (const session of sessions.splice(0)) session.destroy();
  });
  after(() => daemon?.stop());

  const connected = async ({ role, unread }: Flood) => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(socket(role)),
      settings: { initialWindowSize: unread === true ? 0 : 1 << 20 },
      peerMaxConcurrentStreams: CALLS,
    });
    session.on('error', () => undefined).setMaxListeners(0);
    await once(session, 'connect');
    sessions.push(session);
    return session;
  };

  /** Changes of state while nobody reads: of each image once, and of operations. */
  const touched = async (count: number) => {
    const modest = new Stranger(`unix://${socket('operator')}`);
    for (let n = 0; n < count; n++) {
      await utimes(at(`vm/${String(n)}.qcow2`), new Date(), new Date());
      if (n % 10 === 0) await modest.unary('ImageService/ListImages', { path: images(), page_size: 1 });
      if (n % 2 === 0) await modest.unary('FileService/TouchFile', { path: at('names') });
    }
    modest.close();
  };

  const paths = Array.from({ length: PATHS }, (_, n) => n);
  const page = { path: '', flat: false, pageToken: '' };
  const lists: Flood[] = [
    {
      rpc: 'ImageService/ListImages',
      ...{ role: 'viewer', calls: CALLS, unread: true },
      request: () => ListImagesRequest.encode(ListImagesRequest.fromPartial({ ...page, path: images() })).finish(),
    },
    {
      rpc: 'ImageService/BatchGetImageInfo',
      ...{ role: 'viewer', calls: 200, unread: true },
      request: () =>
        BatchGetImageInfoRequest.encode(
          BatchGetImageInfoRequest.fromPartial({ paths: paths.map((n) => at(`vm/${String(n % IMAGES)}.qcow2`)) }),
        ).finish(),
    },
    {
      rpc: 'ImageService/WatchImages',
      ...{ role: 'viewer', calls: WATCHES, unread: true },
      request: () => WatchImagesRequest.encode(WatchImagesRequest.fromPartial({ path: images() })).finish(),
      meanwhile: () => touched(60),
    },
    {
      rpc: 'OperationService/WatchOperations',
      ...{ role: 'viewer', calls: WATCHES, unread: true },
      request: () => WatchOperationsRequest.encode(WatchOperationsRequest.fromPartial({ cursor: '' })).finish(),
      meanwhile: () => touched(60),
    },
    {
      rpc: 'FileService/ListDirectory',
      ...{ role: 'viewer', calls: CALLS, unread: true },
      request: () => ListDirectoryRequest.encode(ListDirectoryRequest.fromPartial({ path: at('names') })).finish(),
    },
  ];
  const operations: Flood[] = [
    {
      rpc: 'FileService/CreateDirectory',
      ...{ role: 'operator', calls: OPERATIONS },
      request: (n) =>
        CreateDirectoryRequest.encode(
          CreateDirectoryRequest.fromPartial({ path: at(`new-${String(n)}/a/b`), parents: true }),
        ).finish(),
    },
    {
      rpc: 'FileService/RemoveDirectory',
      ...{ role: 'operator', calls: OPERATIONS },
      request: (n) =>
        RemoveDirectoryRequest.encode(
          RemoveDirectoryRequest.fromPartial({ path: at(`empty-${String(n)}`), recursive: true }),
        ).finish(),
    },
    {
      rpc: 'FileService/MoveFile',
      ...{ role: 'operator', calls: OPERATIONS },
      request: (n) =>
        MoveFileRequest.encode(
          MoveFileRequest.fromPartial({ source: at(`old-${String(n)}`), target: at(`moved-${String(n)}`) }),
        ).finish(),
    },
  ];

  const measured = (flood: Flood) =>
    it(`${flood.rpc}, ${String(flood.calls)} at once${flood.unread === true ? ', unread' : ''}`, async () => {
      await daemon?.stop();
      const { process: child, stranger } = await start();
      await forgetPeak(child.pid);
      const session = await connected(flood);
      const streams = Array.from({ length: flood.calls }, (_, n) => {
        const stream = openCall(session, `/hostler.v1.${flood.rpc}`);
        stream.end(framed(flood.request(n)));
        return stream;
      });
      // Unread calls end when nobody has read them for too long. The others are read here.
      let closed = 0;
      const reasons = new Map<string, number>();
      for (const stream of streams) {
        stream.once('close', () => (closed += 1));
        if (flood.unread === true) continue;
        void endOf(stream).then((error) => {
          const reason = error?.reason ?? 'OK';
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        });
      }
      await flood.meanwhile?.();
      const { info } = await stranger.unary('ImageService/GetImageInfo', { path: at('old-image') });
      assert.ok(info !== undefined, 'another caller is served');
      await until(() => flood.meanwhile !== undefined || closed >= (flood.unread === true ? 1 : ANSWERED));
      const mib = await peakMib(child.pid);
      const ends = [...reasons].map(([reason, count]) => `${String(count)} ${reason}`).join(', ');
      process.stdout.write(`      ${flood.rpc}: the daemon at most ${String(mib)} MiB ${ends}\n`);
      assert.equal(child.exitCode, null);
      assert.ok(mib < MOST_MIB, `${String(mib)} MiB`);
    });

  operations.forEach(measured);
  describe('of many images and names', () => {
    // Not before: each change of a name looks at all files of its root.
    before(async () => {
      await mkdir(at('vm'));
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('vm/0.qcow2'), '1G');
      for (let n = 1; n < IMAGES; n++) await copyFile(at('vm/0.qcow2'), at(`vm/${String(n)}.qcow2`));
      await mkdir(at('names'));
      for (let n = 0; n < NAMES; n++) await writeFile(at(`names/${'n'.repeat(100)}-${String(n)}`), '');
    });
    lists.forEach(measured);
  });
});
