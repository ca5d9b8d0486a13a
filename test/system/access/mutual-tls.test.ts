/** Who gets in over TCP, and what the daemon does with its own keys. */
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { once } from 'node:events';
import { Client, type ServiceError } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { ExtendedKeyUsage, Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { CallError, Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const UNAUTHENTICATED = 16;
const UNAVAILABLE = 14;
const PERMISSION_DENIED = 7;

const CALLERS = `
[[callers]]
name = "uri:spiffe://cloud/scheduler"
role = "operator"
[[callers]]
name = "dns:host-b.example"
role = "viewer"
[[callers]]
name = "cn:carol"
role = "admin"
`;

describe('mutual TLS', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  let others: Pki;
  const strangers: Stranger[] = [];
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    others = await Pki.init(scratch.path('others'));
    await pki.issue('server', 'server', { dns: ['localhost'], ip: ['127.0.0.1'] });
    await pki.issue('client', 'scheduler', { uri: ['spiffe://cloud/scheduler'] });
    await pki.issue('agent', 'host-b', { dns: ['HOST-B.example'] });
    await pki.issue('client', 'carol');
    await pki.issue('client', 'nobody');
    await pki.revoke();
    await others.issue('client', 'scheduler', { uri: ['spiffe://cloud/scheduler'] });
  });
  scratch.onEnd(() => {
    for (const stranger of strangers) stranger.close();
    return Promise.resolve();
  });
  const daemon = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    toml: `${pki.toml()}crl = "${pki.path('crl.pem')}"\n${CALLERS}`,
  }));
  /** A client with the certificate of that name. */
  const client = (name?: string, from = pki, options: Parameters<Pki['proof']>[1] = {}, at = daemon.get()) => {
    const stranger = new Stranger(at.tcp, from.proof(name, { ca: pki.folder, ...options }));
    strangers.push(stranger);
    return stranger;
  };
  const info = (stranger: Stranger) => stranger.unary('HostInfoService/GetArchitecture');
  const create = (stranger: Stranger, name: string) =>
    stranger.operation('ImageService/CreateImage', { path: daemon.get().image(name), format: 'raw', size: '1K' });

  it('a caller is who its certificate says, and may do what its role says', async () => {
    await create(client('scheduler'), 'tls.raw');
    await create(client('carol'), 'carol.raw');
    await info(client('host-b'));
    assert.equal((await failure(create(client('host-b'), 'b.raw'))).reason, 'METHOD_NOT_ALLOWED');
    const callers = daemon
      .get()
      .records()
      .map(({ caller }) => caller);
    for (const name of ['uri:spiffe://cloud/scheduler', 'cn:carol', 'dns:host-b.example'])
      assert.ok(callers.includes(name), name);
  });

  it('the right authority but a name that nobody configured: nothing is allowed', async () => {
    const error = await failure(info(client('nobody')));
    assert.deepEqual([error.code, error.reason], [PERMISSION_DENIED, 'METHOD_NOT_ALLOWED']);
  });

  for (const version of ['v1', 'v1alpha'])
    it(`what is served is listed for callers with a role only (reflection ${version})`, async () => {
      const listed = async (name: string): Promise<boolean> => {
        const bare = new Client(daemon.get().tcp, pki.proof(name, { ca: pki.folder }));
        const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
        const plain = (bytes: Buffer) => bytes;
        const stream = bare.makeBidiStreamRequest<Buffer, Buffer>(path, plain, plain);
        stream.write(Buffer.from([(7 << 3) | 2, 0])); // list_services
        try {
          const [answer] = (await once(stream, 'data')) as [Buffer];
          return answer.includes('hostler.v1.ImageService');
        } catch (error) {
          assert.equal(new CallError(error as ServiceError).reason, 'METHOD_NOT_ALLOWED');
          return false;
        } finally {
          stream.cancel();
          stream.on('error', () => undefined);
          bare.close();
        }
      };
      assert.deepEqual(await Promise.all(['host-b', 'carol', 'nobody'].map(listed)), [true, true, false]);
    });

  const odd: [string, Parameters<Pki['oddity']>[1], RegExp][] = [
    ['has expired', { to: -0.5 }, /CERT_HAS_EXPIRED/],
    ['is not valid yet', { from: 1 }, /CERT_NOT_YET_VALID/],
    ['is a server’s', { usage: ExtendedKeyUsage.serverAuth }, /INVALID_PURPOSE/],
    ['has a NUL in a name', { names: [{ type: 'dns', value: 'host-b.example\0.evil' }] }, /NUL/],
    ['has a NUL in its common name', { cn: 'carol\0' }, /NUL/],
    ['has a wildcard', { names: [{ type: 'dns', value: '*.example' }] }, /wildcard/],
    [
      'has a good name and a bad one',
      {
        names: [
          { type: 'dns', value: 'host-b.example' },
          { type: 'url', value: 'spiffe://*' },
        ],
      },
      /wildcard/,
    ],
  ];
  for (const [index, [title, oddity, why]] of odd.entries())
    it(`a certificate that ${title} is refused with the reason`, async () => {
      await pki.oddity(`odd-${String(index)}`, oddity);
      const error = await failure(info(client(`odd-${String(index)}`)));
      assert.deepEqual([error.code, error.reason], [UNAUTHENTICATED, 'NOT_AUTHENTICATED']);
      assert.match(error.message, why);
    });

  it('a name that quotes another is not that other', async () => {
    const value = 'spiffe://x, URI:spiffe://cloud/scheduler';
    await pki.oddity('quoting', { cn: 'uri:spiffe://cloud/scheduler', names: [{ type: 'url', value }] });
    assert.equal((await failure(info(client('quoting')))).reason, 'METHOD_NOT_ALLOWED');
    await daemon.get().logged(/"caller":"uri:spiffe:\/\/x, URI:spiffe:\/\/cloud\/scheduler"/);
  });

  it('no certificate, and one of another authority, are refused with the reason', async () => {
    for (const stranger of [client(), client('scheduler', others)]) {
      const error = await failure(info(stranger));
      assert.deepEqual([error.code, error.reason], [UNAUTHENTICATED, 'NOT_AUTHENTICATED']);
      assert.match(error.message, /no client certificate|does not know its authority \(CERT_SIGNATURE_FAILURE\)/);
    }
  });

  it('TLS 1.2 gets no answer; clear text is told that it needs TLS', async () => {
    const old = await failure(info(client('scheduler', pki, { maxVersion: 'TLSv1.2' })));
    const clear = new Stranger(daemon.get().tcp);
    strangers.push(clear);
    const { code, reason, message } = await failure(info(clear));
    assert.deepEqual([old.code, code, reason], [UNAVAILABLE, UNAUTHENTICATED, 'NOT_AUTHENTICATED']);
    assert.match(message, /does not use TLS, which this address needs/);
  });

  it('a TLS session is not taken up again: a certificate is looked at each time', async () => {
    const [host = '', port = ''] = daemon.get().tcp.split(':');
    const options = {
      host,
      port: Number(port),
      ALPNProtocols: ['h2'],
      ca: readFileSync(pki.path('ca.pem')),
      cert: readFileSync(pki.path('carol.pem')),
      key: readFileSync(pki.path('carol.key')),
    };
    const first = tlsConnect(options);
    const session = await new Promise<Buffer>((resolve) => first.once('session', resolve));
    assert.deepEqual([first.getProtocol(), first.alpnProtocol], ['TLSv1.3', 'h2']);
    first.destroy();
    const second = tlsConnect({ ...options, session });
    await new Promise((resolve) => second.once('secureConnect', resolve));
    assert.equal(second.isSessionReused(), false);
    second.destroy();
  });

  it('after SIGHUP a revoked certificate is refused, and a stream that was open goes on', async () => {
    await pki.issue('client', 'scheduler-2', { uri: ['spiffe://cloud/scheduler'] });
    const watcher = client('carol').stream('OperationService/WatchOperations', {});
    const seen: Message[] = [];
    watcher.on('data', (event: Message) => seen.push(event));
    watcher.on('error', () => undefined);
    await create(client('scheduler-2'), 'before.raw');
    await pki.revoke('scheduler-2');
    const { length } = daemon.get().log;
    daemon.get().process.kill('SIGHUP');
    await daemon.get().logged(/certificates were read again/, length);
    const error = await failure(info(client('scheduler-2')));
    assert.deepEqual([error.code, error.reason], [UNAUTHENTICATED, 'NOT_AUTHENTICATED']);
    assert.match(error.message, /CERT_REVOKED/);
    const before = seen.length;
    await create(client('scheduler'), 'after.raw');
    await until(() => seen.length > before);
    watcher.cancel();
  });

  it('a renewed certificate is taken up when its file changes; a broken one is not', async () => {
    const fingerprint = async () => {
      const [host = '', port = ''] = daemon.get().tcp.split(':');
      const socket = tlsConnect({ host, port: Number(port), ALPNProtocols: ['h2'], rejectUnauthorized: false });
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const old = await fingerprint();
    await writeFile(pki.path('broken.pem'), 'no certificate');
    await copyFile(pki.path('server.pem'), pki.path('kept.pem'));
    await rename(pki.path('broken.pem'), pki.path('server.pem'));
    const { length } = daemon.get().log;
    daemon.get().process.kill('SIGHUP');
    await daemon.get().logged(/could not be read again/, length);
    assert.equal(await fingerprint(), old);
    await pki.issue('server', 'renewed', { dns: ['localhost'], ip: ['127.0.0.1'] });
    await rename(pki.path('renewed.key'), pki.path('server.key'));
    await rename(pki.path('renewed.pem'), pki.path('server.pem'));
    await utimes(pki.path('server.pem'), new Date(), new Date());
    await until(async () => (await fingerprint()) !== old);
    await info(client('scheduler'));
  });

  it('after SIGHUP a caller that was taken out may do nothing more, on its open connection too', async () => {
    await pki.issue('client', 'leaver');
    const config = scratch.path('daemon/hostler.toml');
    const before = await readFile(config, 'utf8');
    const entry = '[[callers]]\nname = "cn:leaver"\nrole = "viewer"\n';
    const reload = async (text: string) => {
      const times = daemon.get().log.split('callers and roles').length;
      await writeFile(config, text);
      daemon.get().process.kill('SIGHUP');
      await until(() => daemon.get().log.split('callers and roles').length > times);
    };
    const leaver = client('leaver');
    assert.equal((await failure(info(leaver))).reason, 'METHOD_NOT_ALLOWED');
    await reload(before.replace('[[callers]]', `${entry}[[callers]]`));
    await info(leaver);
    await reload('no = "configuration"');
    await info(leaver);
    await reload(before);
    assert.equal((await failure(info(leaver))).reason, 'METHOD_NOT_ALLOWED');
  });

  it('the hostler command speaks mutual TLS', async () => {
    const files = [
      '--tls-ca',
      pki.path('ca.pem'),
      '--tls-cert',
      pki.path('carol.pem'),
      '--tls-key',
      pki.path('carol.key'),
    ];
    const address = ['--address', `tcp://${daemon.get().tcp}`];
    assert.equal((await tryRun(HOSTLER, [...address, ...files, 'host', 'arch'])).code, 0);
    const half = await tryRun(HOSTLER, [...address, ...files.slice(0, 2), 'host', 'arch']);
    assert.deepEqual([half.code, /go together/.test(half.stderr)], [2, true]);
    await chmod(pki.path('carol.key'), 0o644);
    const open = await tryRun(HOSTLER, [...address, ...files, 'host', 'arch']);
    await chmod(pki.path('carol.key'), 0o600);
    assert.deepEqual([open.code, /others can read/.test(open.stderr)], [1, true]);
  });
});

describe('mutual TLS: keys and addresses that the daemon refuses', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { ip: ['127.0.0.1'] });
    await pki.issue('server', 'other', { ip: ['127.0.0.1'] });
    await pki.oddity('expired', { to: -0.5 });
  });
  const refusal = async (name: string, toml: string) => {
    const daemon = await Daemon.spawn(scratch.path(name), { listen: ['tcp://127.0.0.1:0'], toml });
    assert.equal(await daemon.exited, 1);
    daemon.stranger.close();
    return daemon.log;
  };

  it('a key that others can read', async () => {
    for (const mode of [0o604, 0o620, 0o644]) {
      await chmod(pki.path('server.key'), mode);
      assert.match(await refusal(`mode-${String(mode)}`, pki.toml()), /server\.key has mode 06\d\d: .* chmod 0600/);
    }
    await chmod(pki.path('server.key'), 0o600);
  });

  it('the key of another certificate', async () => {
    await copyFile(pki.path('other.key'), pki.path('server.key'));
    assert.match(await refusal('wrong-key', pki.toml()), /server\.key is not the key of/);
  });

  it('a certificate that has expired, and files that are missing', async () => {
    assert.match(await refusal('expired', pki.toml('expired')), /expired\.pem expired on/);
    assert.match(await refusal('missing', pki.toml('missing')), /missing\.pem cannot be read/);
  });
});

describe('unix sockets with roles', () => {
  const scratch = scratchFolder();

  it('each has its role, owner, group and mode', async function () {
    needs(this, isRoot, 'only root can give a socket away');
    const folder = scratch.path('sockets');
    await mkdir(folder);
    const socket = join(folder, 'viewers.sock');
    const daemon = await Daemon.start(folder, {
      toml: `[[listeners]]\naddress = "unix://${socket}"\nrole = "viewer"\nowner = "nobody"\ngroup = "65534"\nmode = "0640"\n`,
    });
    scratch.onEnd(() => daemon.stop());
    const { uid, gid, mode } = await stat(socket);
    assert.deepEqual([uid, gid, mode & 0o777], [65534, 65534, 0o640]);
    const viewer = new Stranger(`unix://${socket}`);
    await viewer.unary('OperationService/ListOperations');
    const request = { path: daemon.image('x'), format: 'raw', size: '1K' };
    assert.equal((await failure(viewer.all('ImageService/CreateImage', request))).reason, 'METHOD_NOT_ALLOWED');
    await daemon.stranger.operation('ImageService/CreateImage', request);
    viewer.close();
  });

  it('a role that is not there, and a socket that speaks TLS, are refused with what to set', async () => {
    for (const [name, toml, message] of [
      ['role', '[[listeners]]\naddress = "tcp://127.0.0.1:0"\nrole = "boss"\n', /no role boss: define \[roles\.boss\]/],
      ['tls', '[[listeners]]\naddress = "unix:///run/x.sock"\ntls = true\n', /do not speak TLS/],
      ['bare', '[[listeners]]\naddress = "tcp://0.0.0.0:0"\n', /not on the loopback.*Set \[tls\] ca, cert and key/],
      ['cert', '[[listeners]]\naddress = "tcp://0.0.0.0:0"\ntls = true\n', /set \[tls\] ca, cert and key/],
    ] as const) {
      const daemon = await Daemon.spawn(scratch.path(name), { toml });
      assert.equal(await daemon.exited, 1);
      assert.match(daemon.log, message);
      daemon.stranger.close();
    }
  });
});
