/**
 * Fetching from a real nginx: ranges after a broken line, certificates that hold and that do not.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { Line } from '../../support/servers/line.js';
import { installed, needs } from '../../support/needs.js';
import { Nginx } from '../../support/servers/nginx.js';
import { ExtendedKeyUsage, Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const QUICK = '[fetch]\nattempts = 3\nbackoff_ms = 20\n';

describe('fetching from nginx', () => {
  const scratch = scratchFolder();
  const good = () => scratch.path('pki/here');
  const content = noise(24 * MIB);
  let nginx: Nginx;
  before(async function () {
    needs(this, installed('nginx'), 'nginx is not installed');
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'here', { ip: ['127.0.0.1'] });
    await pki.issue('server', 'elsewhere', { dns: ['elsewhere.example'] });
    await pki.issue('client', 'client', { ip: ['127.0.0.1'] });
    await pki.oddity('expired', { names: [{ type: 'ip', value: '127.0.0.1' }], from: -20, to: -1 });
    await pki.oddity('unknown', {
      names: [{ type: 'ip', value: '127.0.0.1' }],
      usage: ExtendedKeyUsage.serverAuth,
      selfSigned: true,
    });
    await mkdir(scratch.path('www'));
    await writeFile(scratch.path('www/image'), content);
    const bad = ['pki/elsewhere', 'pki/expired', 'pki/client', 'pki/unknown'].map((name) => scratch.path(name));
    nginx = await Nginx.start(scratch.path(), [good(), ...bad]);
    scratch.onEnd(() => nginx.stop());
  });
  const daemon = suiteDaemon(scratch, () => ({ toml: `${QUICK}ca_file = "${scratch.path('pki/ca.pem')}"\n` }));
  const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
  const image = (name: string) => daemon.get().image(name);
  const fetch = async (url: string, target: string, more: Message = {}) => {
    const request = { source: { http: { url } }, target: image(target), ...more };
    return (await daemon.get().stranger.operation('ImageService/FetchRawImage', request))['fetch'] as Message;
  };

  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('a line that breaks twice is taken up by two ranges, and nothing comes twice', async () => {
    // It was there long before, so that its parts can be told from those of another.
    await copyFile(scratch.path('www/image'), scratch.path('www/twice'));
    await utimes(scratch.path('www/twice'), 1e9, 1e9);
    const line = await Line.to(nginx.port(), { cutAfter: { bytes: 10 * MIB, times: 2 } });
    scratch.onEnd(() => line.close());
    const result = await fetch(`http://127.0.0.1:${String(line.port)}/twice`, 'broken', { checksum });
    assert.ok((await readFile(image('broken'))).equals(content));
    assert.equal(result['network_bytes'], String(content.length));
    assert.ok(line.carriedBytes < content.length + 4096, `${String(line.carriedBytes)} bytes were carried`);
    const served = await nginx.served('twice');
    assert.deepEqual(
      served.map(({ status }) => status),
      [200, 206, 206],
    );
    assert.ok(served.slice(1).every(({ range }) => /^bytes=\d{8}-$/.test(range)));
  });
  it('with a checksum it goes on although the file was too young to be told from another when it began', async () => {
    const now = Date.now() / 1000;
    await writeFile(scratch.path('www', 'young'), content);
    await utimes(scratch.path('www', 'young'), now, now);
    const line = await Line.to(nginx.port(), { cutAfter: { bytes: 10 * MIB, times: 1 }, bytesPerSecond: 6 * MIB });
    scratch.onEnd(() => line.close());
    await fetch(`http://127.0.0.1:${String(line.port)}/young`, 'young', { checksum });
    assert.ok((await readFile(image('young'))).equals(content));
    const served = await nginx.served('young');
    assert.deepEqual(
      served.map(({ status }) => status),
      [200, 206],
    );
  });
  // nginx makes its ETag of the length and the second of the last change.
  for (const [title, at, again] of [
    ['', () => 1, [200, true]],
    [', also when nothing but its bytes tells', () => Date.now() / 1000 + 100, [200, false]],
  ] as const)
    it(`a file that was replaced meanwhile comes from its beginning${title}`, async () => {
      const name = `replaced-${String(again[1])}`;
      const [path, time] = [scratch.path('www', name), at()];
      const put = async (bytes: Buffer, second: number) => {
        await writeFile(path, bytes);
        await utimes(path, second, second);
      };
      const [old, fresh] = [noise(6 * MIB, 7), noise(6 * MIB, 8)];
      await put(old, time);
      const onCut = () => put(fresh, Math.max(time, 2));
      const line = await Line.to(nginx.port(), { cutAfter: { bytes: 4 * MIB, times: 1 }, onCut });
      scratch.onEnd(() => line.close());
      await fetch(`http://127.0.0.1:${String(line.port)}/${name}`, name);
      assert.ok((await readFile(image(name))).equals(fresh));
      const served = await nginx.served(name);
      assert.deepEqual(
        served.map(({ status, range }) => [status, range !== '-']),
        [[200, false], again],
      );
    });
  it('with a certificate of the authority in ca_file', async () => {
    await fetch(nginx.url('image', good()), 'tls', { checksum });
    assert.ok((await readFile(image('tls'))).equals(content));
  });
  for (const [title, certificate, code] of [
    ['of another name', 'pki/elsewhere', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['that has expired', 'pki/expired', 'CERT_HAS_EXPIRED'],
    ['for clients only', 'pki/client', 'INVALID_PURPOSE'],
    ['of nobody who is known', 'pki/unknown', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ] as const)
    it(`a certificate ${title} is SOURCE_REFUSED, at once`, async () => {
      const error = await failure(fetch(nginx.url('image', scratch.path(certificate)), 'no'));
      assert.deepEqual([error.reason, error.metadata['code']], ['SOURCE_REFUSED', code]);
      assert.ok(!existsSync(image('no')));
    });
  it('a server that wants a certificate of who fetches says so', async () => {
    const [key, cert, ca] = await Promise.all(
      [`${good()}.key`, `${good()}.pem`, scratch.path('pki/ca.pem')].map((file) => readFile(file)),
    );
    const server = createTlsServer({ key, cert, ca, requestCert: true, rejectUnauthorized: true });
    server.on('tlsClientError', () => undefined);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const error = await failure(fetch(`https://127.0.0.1:${String(port)}/image`, 'no'));
    server.close();
    assert.equal(error.reason, 'SOURCE_REFUSED', error.message);
    assert.match(error.message, /wants a certificate/);
  });
  it('with a certificate that the system trusts, where the configuration says so, and not else', async () => {
    for (const [name, system] of [
      ['system', true],
      ['bundled', false],
    ] as const) {
      const other = await Daemon.start(scratch.path(name), {
        toml: `${QUICK}system_ca = ${String(system)}\n`,
        env: { SSL_CERT_FILE: scratch.path('pki/ca.pem') },
      });
      scratch.onEnd(() => other.stop());
      const request = { source: { http: { url: nginx.url('image', good()) } }, target: other.image('tls') };
      const fetching = other.stranger.operation('ImageService/FetchRawImage', request);
      if (!system) assert.equal((await failure(fetching)).reason, 'SOURCE_REFUSED');
      else {
        await fetching;
        assert.ok((await readFile(other.image('tls'))).equals(content));
      }
    }
  });
  it('no redirect leads from https to http', async () => {
    assert.equal((await failure(fetch(nginx.url('down', good()), 'no'))).reason, 'SOURCE_FORBIDDEN');
  });
});
