/** `hostler image fetch`, `fetch-raw` and `hostler cache`. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';

const MIB = 1024 * 1024;

describe('the commands that fetch', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const hostler = (...words: string[]) => tryRun(HOSTLER, ['--address', daemon.get().address, ...words]);
  let server: FaultServer;
  let [raw, qcow2] = [Buffer.alloc(0), Buffer.alloc(0)];
  let sum = '';
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('raw'), 8 * MIB, [{ at: MIB, length: MIB }]);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('raw'), scratch.path('qcow2'));
    [raw, qcow2] = [await readFile(scratch.path('raw')), await readFile(scratch.path('qcow2'))];
    sum = `sha256:${createHash('sha256').update(qcow2).digest('hex')}`;
  });

  it('image fetch makes the format that is wanted, and says what came from where', async () => {
    const url = server.add('guarded', qcow2, { authorization: 'Bearer x' });
    const words = ['image', 'fetch', url, image('a'), '--target-format', 'raw', '--checksum', sum];
    assert.equal((await hostler(...words)).code, 4);
    const { code, stdout } = await hostler(...words, '--header', 'Authorization: Bearer x');
    assert.equal(code, 0);
    assert.ok(stdout.includes('over the network') && stdout.includes(sum), stdout);
    assert.ok((await readFile(image('a'))).equals(raw));
    await writeFile(scratch.path('headers'), 'Accept: */*\nAuthorization: Bearer x\n', { mode: 0o600 });
    const quiet = await hostler(...words, '--overwrite', '--header-file', scratch.path('headers'));
    assert.equal(quiet.code, 0, quiet.stderr);
    assert.equal((await hostler(...words, '--header-file', scratch.path('raw'))).code, 2);
    assert.equal((await hostler(...words, '--header-file', scratch.path('none'))).code, 2);
  });
  it('image fetch-raw keeps the bytes; a checksum that is none is a matter of usage', async () => {
    const url = server.add('plain', qcow2);
    assert.equal((await hostler('image', 'fetch-raw', url, image('b'))).code, 0);
    assert.ok((await readFile(image('b'))).equals(qcow2));
    assert.equal((await hostler('image', 'fetch-raw', url, image('c'), '--checksum', 'md5')).code, 2);
    assert.equal((await hostler('image', 'fetch', `${url}-none`, image('c'))).code, 3);
  });
  it('a list of checksums in a file beside the command says what the bytes must be, of a URL and of a path', async () => {
    const url = server.add('listed.qcow2', qcow2);
    await writeFile(image('here.qcow2'), qcow2);
    const list = scratch.path('SHA256SUMS');
    const fetch = (source: string, to: string, ...more: string[]) =>
      hostler('image', 'fetch', source, image(to), '--checksum-file', list, ...more);
    const digest = sum.replace('sha256:', '');
    await writeFile(list, `${digest}  listed.qcow2\n${digest} *here.qcow2\n`);
    assert.match((await fetch(url, 'e')).stdout, new RegExp(sum));
    assert.equal((await fetch(image('here.qcow2'), 'f')).code, 0);
    await writeFile(list, `${'0'.repeat(64)}  listed.qcow2\n`);
    assert.match((await fetch(url, 'g')).stderr, /CHECKSUM_MISMATCH|not 0000/);
    const missing = await fetch(image('here.qcow2'), 'g');
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /has no checksum of .*here\.qcow2/);
    assert.equal((await fetch(url, 'g', '--checksum', sum)).code, 2);
    const sha3 = `sha3-256:${createHash('sha3-256').update(qcow2).digest('hex')}`;
    assert.equal((await hostler('image', 'fetch', url, image('g'), '--checksum', sha3)).code, 0);
  });
  it('cache prefetch, ls, pin, evict', async () => {
    const url = server.add('kept', qcow2);
    assert.equal((await hostler('cache', 'prefetch', url)).code, 0);
    const fetched = await hostler('image', 'fetch', url, image('d'), '--cache');
    assert.ok(fetched.stdout.includes('from the cache'), fetched.stdout + fetched.stderr);
    const kept = async () =>
      (JSON.parse((await hostler('--json', 'cache', 'ls')).stdout) as { images: { cacheId: string }[] }).images;
    const [entry] = await kept();
    const id = entry?.cacheId ?? '';
    assert.match((await hostler('cache', 'ls')).stdout, new RegExp(`${id} +qcow2 .*${url}`));
    assert.equal((await hostler('cache', 'pin', id)).stdout, `${id} pinned\n`);
    assert.equal((await hostler('cache', 'evict', id)).code, 5);
    assert.equal((await hostler('cache', 'pin', id, '--off')).code, 0);
    assert.equal((await hostler('cache', 'evict', id)).code, 0);
    assert.equal((await hostler('cache', 'evict', id)).code, 3);
    assert.deepEqual(await kept(), []);
  });
});
