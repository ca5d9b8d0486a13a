/**
 * The token of `[fetch.glance]` goes to the server that the configuration names, and to no other.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';

const TOKEN = 'the-operators-token';
const ID = '11111111-2222-4333-8444-555555555555';
const CONTENT = noise(65_536);
const METADATA = Buffer.from(JSON.stringify({ status: 'active', disk_format: 'raw', size: CONTENT.length }));

/** A server that has one image of Glance, below a path of its own. */
function addImage(server: FaultServer, below = ''): () => (string | string[] | undefined)[] {
  const names = [`${below}v2/images/${ID}`, `${below}v2/images/${ID}/file`];
  server.add(names[0] ?? '', METADATA);
  server.add(names[1] ?? '', CONTENT);
  return () => names.flatMap((name) => server.file(name).seen.map((headers) => headers['x-auth-token']));
}

describe('the token of the configuration', () => {
  const scratch = scratchFolder();
  let ours: FaultServer;
  let other: FaultServer;
  before(async () => {
    [ours, other] = [await FaultServer.start(), await FaultServer.start()];
    scratch.onEnd(() => Promise.all([ours.close(), other.close()]));
    await writeFile(scratch.path('token'), `${TOKEN}\n`);
  });
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nattempts = 1\n[fetch.glance]\nendpoint = "${ours.origin}"\ntoken_file = "${scratch.path('token')}"\n`,
  }));
  let count = 0;
  async function fetch(glance: Record<string, string>, use_cache = false): Promise<void> {
    const target = daemon.get().image(`fetched-${String(count++)}`);
    const request = { source: { glance: { image_id: ID, ...glance } }, target, use_cache };
    await daemon.get().stranger.operation('ImageService/FetchImage', request);
    assert.ok((await readFile(target)).equals(CONTENT));
  }

  it('is sent to the configured server, named by the request or not', async () => {
    const seen = addImage(ours);
    await fetch({});
    await fetch({ endpoint: ours.origin });
    assert.deepEqual([...new Set(seen())], [TOKEN]);
  });
  it('is not sent to another server that the request names', async () => {
    const seen = addImage(other);
    await fetch({ endpoint: other.origin });
    await fetch({ endpoint: other.origin }, true);
    assert.deepEqual([...new Set(seen())], [undefined]);
  });
  it('is not sent to the same port under another name of the host', async () => {
    const seen = addImage(ours);
    await fetch({ endpoint: ours.origin.replace('127.0.0.1', '[::ffff:127.0.0.1]') });
    assert.deepEqual([...new Set(seen())], [undefined]);
  });
  it('is not sent to another server whose path looks like the configured one', async () => {
    const seen = addImage(other, `${new URL(ours.origin).host}/`);
    await fetch({ endpoint: `${other.origin}/${new URL(ours.origin).host}` });
    assert.deepEqual([...new Set(seen())], [undefined]);
  });
  it('does not follow a redirect to another server', async () => {
    const seen = addImage(other);
    addImage(ours);
    const name = `v2/images/${ID}/file`;
    ours.add(name, CONTENT, { redirect: `${other.origin}/${name}` });
    await fetch({});
    assert.deepEqual(seen(), [undefined]);
    assert.deepEqual([...new Set(ours.file(name).seen.map((headers) => headers['x-auth-token']))], [TOKEN]);
  });
});
