import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  ConfigurationError,
  ConnectionError,
  HostlerError,
  Operation,
  connect,
  findEndpoint,
  type ConnectOptions,
} from '@hostler/client';
import { ImageService, ResizeImageRequestSchema } from '@hostler/client/v1';
import { Caller } from '../dist/calls.js';
import { TRANSPORTS, daemon } from './daemon.ts';
import { LaterAgent } from './later-agent.ts';

for (const [name, transport] of TRANSPORTS)
  describe(`connections by ${name}`, () => {
    const open = async (options: ConnectOptions) => {
      const hostler = await connect({ env: {}, transport, ...options });
      hostler.close();
      return hostler;
    };
    /** Why there is none. */
    const problem = async (options: ConnectOptions) => {
      const error = await open(options).catch((each: unknown) => each);
      assert.ok(error instanceof ConnectionError, String(error));
      return error.problem;
    };
    const tcp = (place: 'tls' | 'wrong_name' = 'tls') => `tcp://${daemon().places[place]}`;

    it('the socket, and mutual TLS', async () => {
      const { info } = await open({ address: daemon().places.socket });
      assert.equal(info?.contractVersion.split('.')[0], '1');
      const manifest = await readFile(join(import.meta.dirname, '../package.json'), 'utf8');
      assert.equal(info.agentVersion, (JSON.parse(manifest) as { version: string }).version, 'one version for both');
      assert.equal((await open({ address: tcp(), tls: daemon().tls('client') })).address, tcp());
    });

    it('no such socket', async () => {
      const address = `unix://${daemon().places.folder}/none.sock`;
      assert.equal(await problem({ address }), 'no-such-socket');
      await assert.rejects(open({ address }), { message: `no connection to ${address}: there is no such socket` });
    });

    it('nothing listens', async () => assert.equal(await problem({ address: 'tcp://127.0.0.1:1' }), 'nothing-listens'));

    it('an unknown host', async () =>
      assert.equal(await problem({ address: 'tcp://no-such-host.invalid:1' }), 'host-unknown'));

    it('a certificate of another name', async () =>
      assert.equal(await problem({ address: tcp('wrong_name'), tls: daemon().tls('client') }), 'certificate-name'));

    it('an unknown authority', async () =>
      assert.equal(
        await problem({ address: tcp(), tls: daemon().tls('client', 'other/ca.pem') }),
        'unknown-authority',
      ));

    it('without TLS at a port with TLS', async () => {
      assert.equal(await problem({ address: tcp() }), 'server-wants-tls');
      // The daemon says so itself; another server does not.
      const { cert, key } = daemon().tls('server');
      const server = createServer({ cert: await readFile(cert), key: await readFile(key) }).listen(0, '127.0.0.1');
      try {
        await once(server, 'listening');
        const { port } = server.address() as AddressInfo;
        assert.equal(await problem({ address: `tcp://127.0.0.1:${String(port)}` }), 'server-wants-tls');
      } finally {
        server.close();
      }
    });

    it('with TLS at a port without', async () => {
      using agent = await LaterAgent.start();
      assert.equal(await problem({ address: agent.address, tls: daemon().tls('client') }), 'server-without-tls');
    });

    it('a web server', async () => {
      const address = `tcp://127.0.0.1:${String(daemon().places.www)}`;
      assert.equal(await problem({ address }), 'no-daemon');
      assert.equal(await problem({ address, tls: daemon().tls('client') }), 'server-without-tls');
    });

    it('a certificate without a role, and one with too small a role', async () => {
      await assert.rejects(open({ address: tcp(), tls: daemon().tls('stranger') }), {
        name: 'HostlerError',
        reason: 'METHOD_NOT_ALLOWED',
      });
      const viewer = await connect({ env: {}, transport, address: tcp(), tls: daemon().tls('viewer') });
      try {
        const made = viewer.images.createImage({ path: daemon().image('x'), format: 'raw' });
        await assert.rejects(made.result(), { reason: 'METHOD_NOT_ALLOWED' });
      } finally {
        viewer.close();
      }
    });

    it('a certificate of the client that the daemon does not know', async () => {
      const { ca } = daemon().tls('client');
      const [cert, key] = ['pem', 'key'].map((kind) => join(daemon().places.folder, `pki/other/foreign.${kind}`));
      await assert.rejects(open({ address: tcp(), tls: { ca, cert: String(cert), key: String(key) } }), {
        reason: 'NOT_AUTHENTICATED',
      });
    });

    it('an agent of another major version, and one without a feature', async () => {
      using agent = await LaterAgent.start();
      await assert.rejects(open({ address: agent.address }), {
        name: 'ContractError',
        message: 'the agent (version 9.0.0) serves version 2.0 of the contract; this client speaks version 1',
      });
      const hostler = await daemon().connect({ transport });
      try {
        await hostler.require('cursors');
        // No command and no pool is configured.
        for (const feature of ['commands', 'pools'])
          await assert.rejects(hostler.require(feature), {
            name: 'ContractError',
            message: new RegExp(`does not have the feature ${feature}; it has folders`),
          });
      } finally {
        hostler.close();
      }
    });

    it('a server of gRPC without this contract', async () => {
      const server = new Server();
      try {
        const port = await new Promise<number>((resolve, reject) => {
          server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
            error === null ? resolve(bound) : reject(error),
          );
        });
        await assert.rejects(open({ address: `tcp://127.0.0.1:${String(port)}` }), {
          name: 'ContractError',
          message: /does not serve version 1 of the contract/,
        });
      } finally {
        server.forceShutdown();
      }
    });

    it('an RPC that the daemon does not have', async () => {
      const endpoint = await findEndpoint({ env: {}, address: daemon().places.socket });
      const caller = new Caller(transport(endpoint), endpoint);
      // As a client of a later contract has it.
      const method = { ...ImageService.method.resizeImage, name: 'FoldImage' };
      const request = create(ResizeImageRequestSchema, { path: '/x' });
      try {
        await assert.rejects(new Operation(caller, method, request, {}).result(), {
          code: 12,
          message: /does not serve hostler\.v1\.ImageService\/FoldImage: it is of another version than this client/,
        });
      } finally {
        caller.close();
      }
    });

    it('details of an unknown type are kept, and what cannot be read is said', async () => {
      using agent = await LaterAgent.start();
      const hostler = await connect({ env: {}, transport, address: agent.address, unchecked: true });
      try {
        const error = await hostler.images.getImageInfo({ path: '/x' }).catch((each: unknown) => each);
        assert.ok(error instanceof HostlerError);
        assert.deepEqual([error.reason, error.code, error.retryDelayMs], ['LATER_REASON', 9, 1500]);
        const unknown = error.details.find(({ typeUrl }) => typeUrl === 'type.googleapis.com/hostler.v2.News');
        assert.deepEqual(Buffer.from(unknown?.value ?? []).toString(), 'news');
        await assert.rejects(hostler.files.statFile({ path: '/x' }), {
          code: 12,
          message: /does not serve hostler\.v1\.FileService\/StatFile: it is of another version than this client/,
        });
        await assert.rejects(hostler.host.getArchitecture({}), {
          name: 'HostlerError',
          code: 13,
          message: /^the answer to hostler\.v1\.HostInfoService\/GetArchitecture cannot be read/,
        });
      } finally {
        hostler.close();
      }
    });
  });

describe('where the daemon is', () => {
  let folder: string;
  const env = (more: Record<string, string> = {}) => ({ XDG_CONFIG_HOME: folder, ...more });
  const contexts = async (content: unknown) => {
    await mkdir(join(folder, 'hostler'), { recursive: true });
    await writeFile(
      join(folder, 'hostler/contexts.json'),
      typeof content === 'string' ? content : JSON.stringify(content),
    );
  };
  const address = async (options: ConnectOptions) => {
    const hostler = await connect(options);
    hostler.close();
    return hostler.address;
  };
  const wrong = (options: ConnectOptions, message: RegExp) =>
    assert.rejects(connect(options), (error) => {
      assert.ok(error instanceof ConfigurationError, String(error));
      assert.match(error.message, message);
      return true;
    });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hostler-contexts-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('arguments win over the environment, and that over contexts', async () => {
    const { socket, tls, root } = daemon().places;
    const { ca, cert, key } = daemon().tls('client');
    await contexts({
      current: 'near',
      contexts: {
        near: { address: socket, root },
        far: { address: `tcp://${tls}`, tls_ca: ca, tls_cert: cert, tls_key: key },
        gone: { address: 'unix:///none' },
      },
    });
    const near = await connect({ env: env() });
    near.close();
    assert.deepEqual([near.address, near.root], [socket, root]);
    assert.equal(await address({ env: env(), context: 'far' }), `tcp://${tls}`);
    assert.equal(await address({ env: env({ HOSTLER_CONTEXT: 'far' }) }), `tcp://${tls}`);
    assert.equal(await address({ env: env({ HOSTLER_CONTEXT: 'gone' }), context: 'near' }), socket);
    const variables = {
      HOSTLER_ADDRESS: `tcp://${tls}`,
      HOSTLER_TLS_CA: ca,
      HOSTLER_TLS_CERT: cert,
      HOSTLER_TLS_KEY: key,
    };
    assert.equal(await address({ env: env({ ...variables, HOSTLER_CONTEXT: 'gone' }) }), `tcp://${tls}`);
    assert.equal(await address({ env: env(variables), address: socket }), socket);
  });

  it('mistakes are named', async () => {
    await wrong({ env: env(), context: 'prod' }, /contexts\.json has no context prod$/);
    await contexts({ contexts: { near: { address: 'unix:///x' }, half: { address: 'tcp://h:1', tls_ca: '/ca' } } });
    await wrong({ env: env() }, /context half: `tls_ca`, `tls_cert` and `tls_key` go together/);
    await contexts({ current: 'prod', contexts: { near: { address: 'unix:///x' } } });
    await wrong({ env: env() }, /has no context prod, only near/);
    await contexts('{"current":');
    await wrong({ env: env() }, /contexts\.json: is no JSON/);
    await contexts({ contexts: { near: { addres: 'unix:///x' } } });
    await wrong({ env: env() }, /context near: `address` is missing/);
    await wrong({ env: env({ HOSTLER_ADDRESS: 'http://x' }) }, /http:\/\/x is neither unix:\/\/\/PATH nor tcp:/);
    await wrong({ env: env({ HOSTLER_ADDRESS: 'tcp://h:99999' }) }, /neither/);
    await wrong(
      { env: env({ HOSTLER_ADDRESS: 'tcp://h:1', HOSTLER_TLS_CA: '/ca' }) },
      /HOSTLER_TLS_CERT and HOSTLER_TLS_KEY is not set/,
    );
    await wrong(
      { env: {}, address: 'tcp://h:1', tls: { ca: '/none', cert: '/none', key: '/none' } },
      /TLS authority \/none cannot be read/,
    );
    await wrong({ env: {}, address: 'unix:///x', tls: daemon().tls('client') }, /do not speak TLS/);
    await wrong({ env: {}, address: 'unix:///x', context: 'near' }, /not both/);
  });
});
