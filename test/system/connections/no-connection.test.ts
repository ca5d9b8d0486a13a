/**
 * Connections that do not come about: the command says which side objects to what, and the log of
 * the daemon has the peer and the true reason.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { Metadata, Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import { Status } from '../../../src/gen/google/rpc/status.js';
import { HostInfoServiceService } from '../../../src/gen/hostler/v1/host_info_service.js';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { ExtendedKeyUsage, Pki } from '../../support/hosts/pki.js';
import { installed, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { until } from '../../support/until.js';

const STACK = /\n\s+at .*:\d+:\d+|node:internal/;

interface Printed {
  readonly error: { readonly code: number; readonly details: readonly Detail[] };
}
interface Detail {
  readonly '@type': string;
  readonly reason?: string;
  readonly value?: string;
}

describe('without a connection', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  let other: Pki;
  let plain: Daemon;
  const servers: Server[] = [];
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    other = await Pki.init(scratch.path('other'));
    await pki.issue('server', 'server', { dns: ['localhost'] });
    for (const authority of [pki, other]) await authority.issue('client', 'admin');
    await pki.oddity('expired', { to: -0.5 });
    await pki.oddity('alone', { selfSigned: true });
    const localhost = [{ type: 'dns', value: 'localhost' }] as const;
    await pki.oddity('old', { to: -0.5, usage: ExtendedKeyUsage.serverAuth, names: localhost });
    await pki.oddity('early', { from: 1, usage: ExtendedKeyUsage.serverAuth, names: localhost });
    plain = await Daemon.start(scratch.path('plain'), { listen: ['tcp://127.0.0.1:0'] });
  });
  scratch.onEnd(async () => {
    for (const server of servers) server.close();
    await plain.stop();
  });
  const secure = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    toml: [pki.toml(), '[[callers]]\nname = "cn:admin"\nrole = "admin"\n'].join('\n'),
  }));
  const portOf = (daemon: Daemon) => Number(daemon.tcp.split(':')[1]);
  /** Listens for this suite; answers its port. */
  const listening = async (server: Server): Promise<number> => {
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const withCertificate = (name: string) =>
    listening(createTls({ cert: readFileSync(pki.path(`${name}.pem`)), key: readFileSync(pki.path(`${name}.key`)) }));
  const proof = (mine: Pki, authority: Pki) => [
    ...['--tls-ca', authority.path('ca.pem')],
    ...['--tls-cert', mine.path('admin.pem'), '--tls-key', mine.path('admin.key')],
  ];
  const hostler = (address: string, ...args: string[]) =>
    tryRun(HOSTLER, ['--address', `tcp://${address}`, '--connect-timeout', '2', '--json', ...args]);
  const detailsOf = ({ stdout }: { readonly stdout: string }) => (JSON.parse(stdout) as Printed).error.details;

  type Case = readonly [string, () => Promise<string> | string, () => string[], number, string, RegExp];
  const tls = () => proof(pki, pki);
  const cases: readonly Case[] = [
    [
      'a name that is not in the certificate',
      () => `127.0.0.1:${String(portOf(secure.get()))}`,
      tls,
      ...([4, 'SERVER_NAME_DIFFERS', /for another name/] as const),
    ],
    [
      'an unknown authority',
      () => `localhost:${String(portOf(secure.get()))}`,
      () => proof(other, other),
      ...([4, 'SERVER_AUTHORITY_UNKNOWN', /from an authority that this client does not know/] as const),
    ],
    [
      'a certificate of another authority',
      () => `localhost:${String(portOf(secure.get()))}`,
      () => proof(other, pki),
      ...([4, 'NOT_AUTHENTICATED', /client certificate is not accepted: this daemon does not know its/] as const),
    ],
    [
      'no TLS to an address with TLS',
      () => `localhost:${String(portOf(secure.get()))}`,
      () => [],
      ...([4, 'NOT_AUTHENTICATED', /client does not use TLS, which this address needs/] as const),
    ],
    ['TLS to an address without', () => plain.tcp, tls, 4, 'NO_TLS_THERE', /does not speak TLS on this address/],
    [
      'a daemon whose certificate has expired',
      async () => `localhost:${String(await withCertificate('old'))}`,
      tls,
      ...([4, 'SERVER_CERTIFICATE_EXPIRED', /certificate of the daemon has expired/] as const),
    ],
    [
      'a daemon whose certificate is not valid yet',
      async () => `localhost:${String(await withCertificate('early'))}`,
      tls,
      ...([4, 'SERVER_CERTIFICATE_NOT_YET_VALID', /certificate of the daemon is not valid yet/] as const),
    ],
    [
      'a server of HTTP/1',
      async () => `127.0.0.1:${String(await listening(createHttp()))}`,
      () => [],
      ...([4, 'NO_GRPC_THERE', /does not speak gRPC/] as const),
    ],
    ['a port where nothing listens', () => '127.0.0.1:1', () => [], 7, 'NO_ANSWER', /nothing listens there/],
    ['a name that nobody knows', () => 'nowhere.invalid:16520', () => [], 7, 'HOST_UNKNOWN', /name of the host is not/],
    [
      'a server that hangs up',
      async () => `127.0.0.1:${String(await listening(createServer((socket) => socket.destroy())))}`,
      () => [],
      ...([7, 'HUNG_UP', /closed before it sent anything[\s\S]*--tls-ca/] as const),
    ],
    [
      'a server that hangs up on TLS',
      async () => `localhost:${String(await listening(createServer((socket) => socket.destroy())))}`,
      tls,
      ...([7, 'HUNG_UP', /closed before it sent anything/] as const),
    ],
    [
      'a server that is silent',
      async () => `127.0.0.1:${String(await listening(createServer(() => undefined)))}`,
      () => [],
      ...([7, 'NO_ANSWER', /nobody has answered for 2 s/] as const),
    ],
    [
      'a server that is silent on TLS',
      async () => `localhost:${String(await listening(createServer(() => undefined)))}`,
      tls,
      ...([7, 'NO_ANSWER', /nobody has answered for 2 s/] as const),
    ],
  ];
  for (const [title, address, options, code, reason, words] of cases)
    it(`the command says so: ${title}`, async () => {
      const ended = await hostler(await address(), ...options(), 'ops', 'ls');
      assert.match(ended.stderr, words);
      assert.doesNotMatch(ended.stderr, STACK);
      assert.deepEqual([ended.code, detailsOf(ended)[0]?.reason], [code, reason]);
    });

  describe('in the log of the daemon', () => {
    /** The line about the connection from the port, which a connection writes these bytes on. */
    const refusal = async (daemon: Daemon, bytes: Buffer | string) => {
      const socket = connect(portOf(daemon), '127.0.0.1').resume();
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      const peer = `127.0.0.1:${String(socket.localPort)}`;
      if (bytes === '') socket.end();
      else socket.write(bytes);
      const line = () => refused(daemon).find((record) => record['peer'] === peer);
      await until(() => line() !== undefined);
      socket.destroy();
      return String(line()?.['why']);
    };
    const refused = (daemon: Daemon) => daemon.records().filter(({ message }) => message === 'refused');
    const whys = (daemon: Daemon) => refused(daemon).map(({ why }) => String(why));
    const HELLO = Buffer.from('16030100f8010000f40303', 'hex');
    const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

    it('stands what a client without TLS speaks', async () => {
      const daemon = secure.get();
      assert.match(await refusal(daemon, PREFACE), /^the client does not use TLS, which this address needs/);
      assert.match(await refusal(daemon, GET), /^the client speaks HTTP\/1 without TLS/);
      assert.equal(await refusal(daemon, 'hello there\n'), 'the client does not speak TLS');
      assert.equal(await refusal(daemon, ''), 'the client left without sending anything');
    });

    it('stands what a client speaks that is not gRPC in the clear', async () => {
      const tail = '; this address takes gRPC without TLS';
      assert.equal(await refusal(plain, HELLO), `the client speaks TLS${tail}`);
      assert.equal(await refusal(plain, GET), `the client speaks HTTP/1${tail}`);
      assert.equal(await refusal(plain, 'hello there\n'), `the client speaks neither HTTP nor TLS${tail}`);
    });

    it('stands what is wrong with the certificate of the client, or that it does not like ours', async function () {
      needs(this, installed('openssl'), 'openssl is not installed');
      const daemon = secure.get();
      const address = `localhost:${String(portOf(daemon))}`;
      const client = (...args: string[]) =>
        tryRun('openssl', ['s_client', '-connect', address, '-alpn', 'h2', '-verify_return_error', ...args]);
      await client('-CAfile', pki.path('ca.pem'), '-cert', pki.path('expired.pem'), '-key', pki.path('expired.key'));
      await client('-CAfile', other.path('ca.pem'));
      await client('-CAfile', pki.path('alone.pem'));
      await client('-CAfile', pki.path('ca.pem'));
      await hostler(address, ...proof(other, pki), 'ops', 'ls');
      await hostler(address, ...proof(other, other), 'ops', 'ls');
      const wanted = [
        'the client certificate is not accepted: it has expired (CERT_HAS_EXPIRED)',
        'the client does not accept our certificate: its authority has not signed it',
        'the client does not know the authority of our certificate',
        'there is no client certificate',
        'the client certificate is not accepted: this daemon does not know its authority (CERT_SIGNATURE_FAILURE)',
        // Clients with Node say nothing when they do not accept a certificate.
        'the client left during the handshake, as one does that does not accept our certificate',
      ];
      await until(() => wanted.every((why) => whys(daemon).includes(why)));
    });

    it('stands a connection once, with its peer', async () => {
      await refusal(secure.get(), PREFACE);
      await refusal(plain, HELLO);
      for (const daemon of [secure.get(), plain]) {
        const peers = refused(daemon).map(({ peer }) => String(peer));
        for (const peer of peers) assert.match(peer, /^127\.0\.0\.1:[1-9]\d*$/);
        assert.deepEqual(peers, [...new Set(peers)]);
      }
    });
  });

  it('a daemon of another version: it does not know the call, or has details of an unknown type', async () => {
    const server = new GrpcServer();
    const news = { typeUrl: 'type.googleapis.com/hostler.v9.News', value: Buffer.from('news') };
    const metadata = new Metadata();
    const sent = Status.encode({ code: status.ABORTED, message: 'later', details: [news] }).finish();
    metadata.set('grpc-status-details-bin', Buffer.from(sent));
    const { getArchitecture } = HostInfoServiceService;
    server.addService(
      { getArchitecture },
      {
        getArchitecture: (_: unknown, callback: (error: object) => void) => {
          callback({ code: status.ABORTED, details: 'later', metadata });
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    const unknown = await hostler(`127.0.0.1:${String(port)}`, 'ops', 'ls');
    assert.deepEqual([unknown.code, detailsOf(unknown)[0]?.reason], [4, 'RPC_UNKNOWN']);
    assert.match(unknown.stderr, /does not know this call: it is of another version/);
    const strange = await hostler(`127.0.0.1:${String(port)}`, 'host', 'arch');
    assert.equal(strange.code, 5, strange.stderr);
    assert.match(strange.stderr, /later \[ABORTED\]/);
    assert.deepEqual(detailsOf(strange), [{ '@type': news.typeUrl, value: news.value.toString('base64') }]);
    server.forceShutdown();
  });
});
