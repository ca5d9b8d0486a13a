/**
 * A stream that flows when the caller's deadline comes: the status comes, however the deadline
 * falls between its messages.
 */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { create, toBinary } from '@bufbuild/protobuf';
import { suiteDaemon } from '../../support/daemon.js';
import { requestOf } from '../../support/descriptors.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';

type Headers = Readonly<Record<string, unknown>>;

/** The deadline falls elsewhere each time. */
const TIMES = 6;
const TIMEOUT_MS = 100;
const RIGHT: readonly number[] = [status.OK, status.DEADLINE_EXCEEDED];

describe("a caller's deadline in the middle of a stream", () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, {
    toml: '[[commands]]\nname = "yes"\nexecutable = "/usr/bin/yes"\n',
  });
  before(async () => {
    await writeFile(daemon.get().image('endless'), '');
    await truncate(daemon.get().image('endless'), 2 ** 42);
    await writeFile(daemon.get().image('disk.raw'), noise(64 << 20));
  });

  /** The status of a call whose client leaves the deadline to the daemon, as clients do not. */
  const statusOf = async (rpc: string, fields: object, timeoutMs: number): Promise<number> => {
    const message = toBinary(requestOf(rpc), Object.assign(create(requestOf(rpc)), fields));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    const session = connect('http://localhost', {
      createConnection: () => connectSocket(scratch.path('daemon/s.sock')),
    });
    try {
      const stream = session.request({
        ...{ ':method': 'POST', ':path': `/hostler.v1.${rpc}`, 'content-type': 'application/grpc', te: 'trailers' },
        'grpc-timeout': `${String(timeoutMs)}m`,
      });
      stream.end(Buffer.concat([head, message]));
      stream.resume();
      // Where no message has come the status is in the first headers.
      const signal = AbortSignal.timeout(20_000);
      const ends = (['response', 'trailers'] as const).map(async (event) => {
        const [headers] = (await once(stream, event, { signal })) as [Headers];
        assert.ok('grpc-status' in headers);
        return Number(headers['grpc-status']);
      });
      return await Promise.any(ends);
    } finally {
      session.destroy();
    }
  };

  const disk = () => ({ path: daemon.get().image('disk.raw') });
  const streams: [string, string, () => object][] = [
    ['FileService/ReadFile', 'of a file without end', () => ({ path: daemon.get().image('endless') })],
    ['FileService/ReadFile', 'of a disk', disk],
    ['ImageService/DownloadImage', 'of a disk', disk],
    ['CommandService/Execute', 'of yes', () => ({ name: 'yes' })],
    ['OperationService/WatchOperations', 'of nothing', () => ({})],
  ];
  for (const [rpc, of, fields] of streams)
    it(`${rpc} ${of} ends with DEADLINE_EXCEEDED, or OK where it was done before`, async () => {
      for (let n = 0; n < TIMES; n++) assert.ok(RIGHT.includes(await statusOf(rpc, fields(), TIMEOUT_MS + n)));
    });
});
