/** Where images may be fetched from, and by which way: schemes, hosts, addresses, proxies. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { NameServer } from '../../support/servers/name-server.js';
import { isRoot, needs } from '../../support/needs.js';
import { Proxy } from '../../support/servers/proxy.js';
import { scratchFolder, type Scratch } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { failure } from '../../support/stranger.js';

const QUICK = '[fetch]\nattempts = 1\n';
const content = noise(100_000);

function fetcher(daemon: () => Daemon) {
  let count = 0;
  return async (url: string, headers = {}) => {
    const target = daemon().image(`fetched-${String(count++)}`);
    await daemon().stranger.operation('ImageService/FetchRawImage', { source: { http: { url, headers } }, target });
    assert.ok((await readFile(target)).equals(content), url);
  };
}

function faultServer(scratch: Scratch) {
  let server: FaultServer | undefined;
  before(async () => {
    const started = await FaultServer.start();
    server = started;
    scratch.onEnd(() => started.close());
  });
  return () => {
    assert.ok(server !== undefined);
    return server;
  };
}

describe('what [fetch] allows', () => {
  describe('hosts', () => {
    const scratch = scratchFolder();
    const server = faultServer(scratch);
    const daemon = suiteDaemon(scratch, {
      toml: `${QUICK}allowed_schemes = ["http"]\nallowed_hosts = ["127.0.0.1", "*.example.org"]\n`,
    });
    const fetch = fetcher(daemon.get);

    it('those that are listed', async () => {
      await fetch(server().add('image', content));
    });
    it('no others, also by a redirect', async () => {
      const url = server().add('image', content);
      const hop = server().add('hop', content, { redirect: url.replace('127.0.0.1', 'localhost') });
      for (const place of [hop, url.replace('127.0.0.1', 'localhost'), url.replace('127.0.0.1', '127.0.0.2')])
        assert.equal((await failure(fetch(place))).reason, 'SOURCE_FORBIDDEN', place);
      for (const host of ['example.org', 'badexample.org', '127.0.0.1.example.net'])
        assert.equal((await failure(fetch(`http://${host}/`))).reason, 'SOURCE_FORBIDDEN', host);
    });
    it('no other schemes', async () => {
      assert.equal((await failure(fetch('https://127.0.0.1/'))).reason, 'SOURCE_FORBIDDEN');
      const { stranger } = daemon.get();
      for (const source of [
        { file: { path: daemon.get().image('fetched-0') } },
        { glance: { endpoint: server().origin, image_id: '00000000-0000-4000-8000-000000000000' } },
      ]) {
        const request = { source, target: daemon.get().image('no') };
        const error = await failure(stranger.operation('ImageService/FetchRawImage', request));
        assert.deepEqual(error.fields, [`source.${Object.keys(source).join('')}`]);
      }
    });
  });

  describe('networks', () => {
    const scratch = scratchFolder();
    const server = faultServer(scratch);
    const daemon = suiteDaemon(scratch, { toml: `${QUICK}allowed_networks = ["127.0.0.1/32", "2001:db8::/32"]\n` });
    const fetch = fetcher(daemon.get);

    it('addresses in them, by number and by name', async () => {
      const url = server().add('image', content);
      await fetch(url);
      await fetch(url.replace('127.0.0.1', '[::ffff:127.0.0.1]'));
    });
    it('no others, also by a redirect', async () => {
      const elsewhere = server().add('image', content).replace('127.0.0.1', '127.0.0.2');
      const hop = server().add('hop', content, { redirect: elsewhere });
      for (const place of [elsewhere, hop, 'http://10.0.0.1/', 'http://[::1]/'])
        assert.equal((await failure(fetch(place))).reason, 'SOURCE_FORBIDDEN', place);
    });
  });

  describe('the loopback', () => {
    const scratch = scratchFolder();
    const [server, named] = [faultServer(scratch), faultServer(scratch)];
    const id = '11111111-2222-4333-8444-555555555555';
    const daemon = suiteDaemon(scratch, () => ({
      toml: `${QUICK}loopback = false\nallowed_networks = ["127.0.0.0/8", "::/0"]\n[fetch.glance]\nendpoint = "${named().origin}"\n`,
    }));
    const fetch = fetcher(daemon.get);

    it('is out of reach without fetch.loopback, by number, name and redirect', async () => {
      const url = server().add('image', content);
      const hop = named().add('hop', content, { redirect: url });
      const others = [
        '[::ffff:127.0.0.1]',
        '127.9.9.9',
        '0.0.0.0',
        '[::1]',
        'localhost',
        'LOCALHOST.',
        '0x7f000001',
        '2130706433',
      ];
      for (const place of [url, hop, ...others.map((host) => url.replace('127.0.0.1', host))])
        assert.equal((await failure(fetch(place))).reason, 'SOURCE_FORBIDDEN', place);
      assert.equal(server().file('image').requests, 0);
    });
    it('has the Glance server of the configuration all the same', async () => {
      const metadata = { status: 'active', disk_format: 'raw', size: content.length };
      named().add(`v2/images/${id}`, Buffer.from(JSON.stringify(metadata)));
      named().add(`v2/images/${id}/file`, content);
      const target = daemon.get().image('from-glance');
      const source = { glance: { image_id: id } };
      await daemon.get().stranger.operation('ImageService/FetchRawImage', { source, target });
      assert.ok((await readFile(target)).equals(content));
    });
    it('has no other Glance server', async () => {
      const source = { glance: { image_id: id, endpoint: server().origin } };
      const request = { source, target: daemon.get().image('no') };
      const error = await failure(daemon.get().stranger.operation('ImageService/FetchRawImage', request));
      assert.equal(error.reason, 'SOURCE_FORBIDDEN');
    });
  });

  describe('names', () => {
    const scratch = scratchFolder();
    const server = faultServer(scratch);
    let names: NameServer;
    let daemon: Daemon;
    const fetch = fetcher(() => daemon);
    const METADATA = '169.254.169.254';

    before(async function () {
      needs(this, isRoot, 'needs root for a name server of its own');
      const mounts = await tryRun('unshare', ['-m', 'true']);
      needs(this, mounts.code === 0, `no mount namespace of its own: ${mounts.stderr.trim()}`);
      names = await NameServer.start();
      scratch.onEnd(() => names.close());
      await writeFile(scratch.path('resolv.conf'), `nameserver ${names.address}\noptions timeout:5 attempts:2\n`);
      await writeFile(scratch.path('nsswitch.conf'), 'hosts: dns\n');
      const words =
        'mount --bind "$0/resolv.conf" /etc/resolv.conf && mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf';
      daemon = await Daemon.start(scratch.path('daemon'), {
        toml: `${QUICK}allowed_hosts = ["127.0.0.1", "*.example"]\n`,
        within: ['unshare', '-m', 'sh', '-c', `${words} && exec "$@"`, scratch.path()],
      });
      scratch.onEnd(() => daemon.stop());
    });
    const named = (url: string) => url.replace('127.0.0.1', 'images.example');

    it('are asked for once a connection, below a listed domain too: the address that was checked is the one that is connected to', async () => {
      names.answers = [['127.0.0.1'], [METADATA]];
      names.questions = 0;
      await fetch(named(server().add('image', content)));
      assert.equal(names.questions, 1);
    });
    it('that mean another address at the next request are looked at again', async () => {
      names.answers = [['127.0.0.1'], [METADATA]];
      names.questions = 0;
      const next = named(server().add('next', content));
      const hop = server().add('hop', content, { redirect: next });
      assert.equal((await failure(fetch(named(hop)))).reason, 'SOURCE_FORBIDDEN');
      assert.deepEqual([names.questions, server().file('hop').requests], [2, 1]);
    });
    it('that mean a forbidden address beside an allowed one are forbidden', async () => {
      names.answers = [['127.0.0.1', METADATA]];
      const url = named(server().add('beside', content));
      assert.equal((await failure(fetch(url))).reason, 'SOURCE_FORBIDDEN');
      assert.equal(server().file('beside').requests, 0);
    });
  });
});

describe('fetching through a proxy', () => {
  const scratch = scratchFolder();
  const server = faultServer(scratch);
  let proxy: Proxy;
  before(async () => {
    proxy = await Proxy.start(Number(new URL(server().origin).port));
    scratch.onEnd(() => proxy.close());
  });
  const daemon = suiteDaemon(scratch, () => ({
    toml: `${QUICK}proxy = "${proxy.origin}"\nno_proxy = ["127.0.0.1", "localhost"]\n`,
  }));
  const fetch = fetcher(daemon.get);

  it('it gets the whole URL, and may find the host itself', async () => {
    server().add('image', content);
    await fetch('http://images.example/image');
    assert.deepEqual(proxy.asked.slice(-1), ['http://images.example/image']);
  });
  it('redirects go through it too', async () => {
    server().add('next', content);
    server().add('hop', content, { redirect: 'http://other.example/next' });
    await fetch('http://images.example/hop');
    assert.deepEqual(proxy.asked.slice(-2), ['http://images.example/hop', 'http://other.example/next']);
  });
  it('https goes through a tunnel', async () => {
    const port = new URL(server().origin).port;
    // It is no TLS server: what matters is who was asked for what.
    const error = await failure(fetch(`https://images.example:${port}/image`));
    assert.equal(error.reason, 'SOURCE_UNAVAILABLE');
    assert.equal(proxy.asked.at(-1), `images.example:${port}`);
  });
  it('hosts of no_proxy are asked directly', async () => {
    const before = proxy.asked.length;
    const url = server().add('image', content);
    await fetch(url);
    await fetch(url.replace('127.0.0.1', 'localhost'));
    assert.equal(proxy.asked.length, before);
  });
  it('forbidden addresses are forbidden all the same', async () => {
    const before = proxy.asked.length;
    assert.equal((await failure(fetch('http://169.254.169.254/latest'))).reason, 'SOURCE_FORBIDDEN');
    assert.equal(proxy.asked.length, before);
  });

  it('queries of a caller do not go through it in the clear, those of a redirect do', async () => {
    const before = proxy.asked.length;
    for (const query of ['X-Amz-Signature=a', 'sig=b', 'token=c', 'v=7'])
      assert.equal((await failure(fetch(`http://images.example/image?${query}`))).reason, 'SOURCE_FORBIDDEN');
    // From one that is asked directly to one that is not.
    const hop = server().add('hop-query', content, { redirect: 'http://images.example/image?sig=a' });
    assert.equal((await failure(fetch(`${hop}?sig=a`))).reason, 'SOURCE_FORBIDDEN');
    assert.equal(proxy.asked.length, before);
    server().add('image', content);
    await fetch(hop);
    assert.deepEqual(proxy.asked.slice(before), ['http://images.example/image?sig=a']);
    const { port } = new URL(server().origin);
    assert.equal((await failure(fetch(`https://images.example:${port}/image?sig=a`))).reason, 'SOURCE_UNAVAILABLE');
  });
  it('headers of a caller do not go through it in the clear', async () => {
    const { stranger, image } = { stranger: daemon.get().stranger, image: (name: string) => daemon.get().image(name) };
    const send = (url: string) =>
      failure(
        stranger.operation('ImageService/FetchRawImage', {
          source: { http: { url, headers: { 'x-auth-token': 'told-to-no-proxy' } } },
          target: image('no'),
        }),
      );
    const before = proxy.asked.length;
    assert.equal((await send('http://images.example/image')).reason, 'SOURCE_FORBIDDEN');
    assert.equal(proxy.asked.length, before);
    // A tunnel shows nothing.
    const { port } = new URL(server().origin);
    assert.equal((await send(`https://images.example:${port}/image`)).reason, 'SOURCE_UNAVAILABLE');
  });
});

describe('fetching through the proxy of the environment', () => {
  const scratch = scratchFolder();
  const server = faultServer(scratch);
  let proxy: Proxy;
  before(async () => {
    proxy = await Proxy.start(Number(new URL(server().origin).port));
    scratch.onEnd(() => proxy.close());
  });
  const daemon = suiteDaemon(scratch, () => ({
    toml: `${QUICK}proxy_from_environment = true\nproxy_sees_secrets = true\nno_proxy = ["*.here"]\n`,
    env: { http_proxy: proxy.origin, no_proxy: '127.0.0.0/8,.near.example' },
  }));
  const fetch = fetcher(daemon.get);

  it('asks it, with headers where it may see them, and spares what both lists name', async () => {
    server().add('image', content);
    await fetch('http://images.example/image', { authorization: 'Bearer 1' });
    assert.deepEqual(proxy.asked, ['http://images.example/image']);
    assert.equal(server().file('image').seen[0]?.authorization, 'Bearer 1');
    await fetch(server().add('image', content));
    for (const host of ['a.near.example', 'a.here'])
      assert.equal((await failure(fetch(`http://${host}/image`))).reason, 'SOURCE_UNAVAILABLE');
    assert.equal(proxy.asked.length, 1);
  });
});
