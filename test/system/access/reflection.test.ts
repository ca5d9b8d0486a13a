/**
 * What reflection is for: a client without any proto file reads the details of errors, and only
 * callers with a role see what is served.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { create, createFileRegistry, fromBinary, type Registry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ServerReflectionRequest, ServerReflectionResponse } from '../../../src/gen/grpc/reflection/v1/reflection.js';
import { Daemon, ROOT_FOLDER, suiteDaemon } from '../../support/daemon.js';
import { messagesOf } from '../../support/descriptors.js';
import { Pki } from '../../support/hosts/pki.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';

const GRPCURL = join(ROOT_FOLDER, '.cache/go/bin/grpcurl');

describe('reflection', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({ toml: '[limits]\nwatches_per_caller = 1\n' }));
  const none = () => daemon.get().image('none');
  /** Keeps the only place for a stream that watches while it works. */
  const whileWatching = async (work: () => Promise<void>) => {
    const watch = daemon.get().stranger.stream('OperationService/WatchOperations', {});
    watch.on('error', () => undefined);
    // Answered on the same connection, so the watch has arrived.
    await daemon.get().stranger.unary('OperationService/ListOperations');
    await work();
    watch.cancel();
  };

  /** Calls that fail, and what their details say. */
  const failures: [string, () => object, RegExp[]][] = [
    [
      'ImageService/CreateImage',
      () => ({ path: none(), format: 'raw' }),
      [/"reason": "INVALID_FIELD"/, /google\.rpc\.BadRequest"[\s\S]*"field": "virtual_size"/],
    ],
    [
      'ImageService/GetImageInfo',
      () => ({ path: none() }),
      [/"reason": "IMAGE_NOT_FOUND"/, /google\.rpc\.ResourceInfo"[\s\S]*"resourceType": "path"/],
    ],
    [
      'OperationService/WatchOperations',
      () => ({}),
      [
        /google\.rpc\.ErrorInfo"[\s\S]*"reason": "CALLER_AT_LIMIT"/,
        /google\.rpc\.RetryInfo"[\s\S]*"retryDelay": "\d/,
        /google\.rpc\.QuotaFailure"[\s\S]*"subject": /,
      ],
    ],
  ];
  const grpcurl = (...args: string[]) => tryRun(GRPCURL, args);

  // It has none of these types in it: without reflection it shows bytes.
  for (const [rpc, request, details] of failures)
    it(`grpcurl shows the details of ${rpc} in words`, async function () {
      needs(this, existsSync(GRPCURL), 'grpcurl could not be installed');
      const socket = scratch.path('daemon/s.sock');
      await whileWatching(async () => {
        const data = ['-d', JSON.stringify(request())];
        const { stderr } = await grpcurl('-plaintext', '-unix', ...data, socket, `hostler.v1.${rpc}`);
        for (const detail of details) assert.match(stderr, detail);
        assert.doesNotMatch(stderr, /unknown|"value": "/i);
      });
    });

  it('has every detail of google.rpc, with all that it needs', async () => {
    const types = messagesOf('google.rpc').filter(({ parent }) => parent === undefined);
    for (const name of ['BadRequest', 'ErrorInfo', 'QuotaFailure', 'ResourceInfo', 'RetryInfo', 'Status'])
      assert.ok(
        types.some((type) => type.name === name),
        name,
      );
    for (const { typeName } of types) assert.ok((await reflected(typeName)).getMessage(typeName), typeName);
  });

  /** What reflection answers for a type, and nothing else. */
  async function reflected(symbol: string): Promise<Registry> {
    const bare = new Client(daemon.get().address, credentials.createInsecure());
    const stream = bare.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (request: ServerReflectionRequest) => Buffer.from(ServerReflectionRequest.encode(request).finish()),
      (bytes) => ServerReflectionResponse.decode(bytes),
    );
    stream.write({ host: '', messageRequest: { $case: 'fileContainingSymbol', value: symbol } });
    const [{ messageResponse }] = (await once(stream, 'data')) as [ServerReflectionResponse];
    stream.end();
    bare.close();
    assert.equal(messageResponse?.$case, 'fileDescriptorResponse', symbol);
    const files = messageResponse.value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    // A file comes behind those that it imports.
    return createFileRegistry(create(FileDescriptorSetSchema, { file: files.reverse() }));
  }

  describe('over TLS', () => {
    let pki: Pki;
    let secure: Daemon;
    before(async function () {
      needs(this, existsSync(GRPCURL), 'grpcurl could not be installed');
      pki = await Pki.init(scratch.path('pki'));
      await pki.issue('server', 'server', { dns: ['localhost'] });
      for (const name of ['viewer', 'nobody']) await pki.issue('client', name);
      const toml = `${pki.toml()}[[callers]]\nname = "cn:viewer"\nrole = "viewer"\n`;
      secure = await Daemon.start(scratch.path('secure'), { listen: ['tcp://127.0.0.1:0'], toml });
      scratch.onEnd(() => secure.stop());
    });
    const as = (name: string, ...args: string[]) =>
      grpcurl(
        ...['-cacert', pki.path('ca.pem'), '-cert', pki.path(`${name}.pem`), '-key', pki.path(`${name}.key`)],
        ...[`localhost:${secure.tcp.split(':')[1] ?? ''}`, ...args],
      );

    it('a caller with any role lists services, one without none', async () => {
      const listed = await as('viewer', 'list');
      assert.equal(listed.code, 0, listed.stderr);
      assert.match(listed.stdout, /^hostler\.v1\.ImageService$/m);
      for (const question of [['list'], ['describe', 'hostler.v1.ImageService']]) {
        const refused = await as('nobody', ...question);
        assert.notEqual(refused.code, 0);
        assert.match(refused.stderr, /PermissionDenied|may not list services/);
        assert.doesNotMatch(`${refused.stdout}${refused.stderr}`, /ImageService (?:is|\{)|GetImageInfo/);
      }
    });
  });
});
