/** Many images in one call: each is described, or fails, as a call for it alone says. */
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun, type Ended } from '../../support/shell.js';
import { CallError, Stranger, failure, reasonIn, type Message } from '../../support/stranger.js';

const MOST = 10_000;
const RPC = 'ImageService/BatchGetImageInfo';

interface Result {
  readonly index?: number;
  readonly info?: Message;
  readonly error?: { readonly code: number; readonly message: string };
  readonly backing_chain?: Message[];
}

describe('BatchGetImageInfo', () => {
  const scratch = scratchFolder();
  const socket = () => scratch.path('daemon', 'confined.sock');
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${socket()}"\nrole = "confined"`,
      `[roles.confined]\nservices = ["ImageService"]\nread = ["${scratch.path('daemon/images/in')}"]\n`,
    ].join('\n'),
  }));
  const at = (name: string) => daemon.get().image(name);
  const batch = async (request: Message, stranger = daemon.get().stranger): Promise<Result[]> =>
    (await stranger.all(RPC, request)).flatMap(({ results }) => results as Result[]);
  const alone = (path: string, more: Message = {}, stranger = daemon.get().stranger) =>
    stranger.unary('ImageService/GetImageInfo', { path, ...more }).catch((error: unknown) => {
      if (error instanceof CallError) return error;
      throw error;
    });

  before(async () => {
    await mkdir(at('in'));
    await mkdir(at('beside'));
    const create = (name: string, ...words: readonly string[]) =>
      sh('qemu-img', 'create', '-q', ...words, at(name), '8M');
    await create('base.qcow2', '-f', 'qcow2');
    await create('middle.qcow2', '-f', 'qcow2', '-F', 'qcow2', '-b', at('base.qcow2'));
    await create('top.qcow2', '-f', 'qcow2', '-F', 'qcow2', '-b', 'middle.qcow2');
    await create('disk.vmdk', '-f', 'vmdk');
    await create('in/plain.qcow2', '-f', 'qcow2');
    await create('beside/hidden.qcow2', '-f', 'qcow2');
    await symlink(at('beside/hidden.qcow2'), at('in/link'));
    await writeFile(at('disk.raw'), Buffer.alloc(512));
    await writeFile(at('broken.qcow2'), Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x09', 'latin1'), Buffer.alloc(504)]));
    await writeFile(at('a\nname, with "signs" \u{1f4be}'), Buffer.alloc(512));
  });

  /** What is wrong with each, by itself. */
  const wrong = () => [
    at('absent'),
    at('broken.qcow2'),
    at('in'),
    '/etc/passwd',
    'no/path',
    '',
    `${at('in')}/../base.qcow2`,
    `/${'x'.repeat(300)}`,
    'rbd:none/image',
    'nbd://127.0.0.1/x',
  ];
  const good = () => ['top.qcow2', 'disk.raw', 'disk.vmdk', 'a\nname, with "signs" \u{1f4be}', 'in/link'].map(at);

  it('says of each what a call for it alone says, in the order of the request', async () => {
    const paths = [...good(), ...wrong(), ...good(), at('top.qcow2')];
    const results = await batch({ paths });
    assert.deepEqual(
      results.map(({ index = 0 }) => index),
      paths.map((_, index) => index),
    );
    for (const [index, path] of paths.entries()) {
      const single = await alone(path);
      const { info, error } = results[index] ?? {};
      if (single instanceof CallError) {
        assert.equal(info, undefined, path);
        assert.equal(error?.code, single.code, `${path}: ${error?.message ?? ''}`);
        assert.equal(reasonIn(error), single.reason, path);
      } else assert.deepEqual(info, single['info']);
    }
  });

  it('follows the chain of each when the format is declared, and says which have another format', async () => {
    const paths = [at('top.qcow2'), at('disk.raw'), at('base.qcow2')];
    const [top, raw, base] = await batch({ paths, format: 'qcow2', backing_chain: true });
    const single = (await alone(at('top.qcow2'), { format: 'qcow2', backing_chain: true })) as Message;
    assert.deepEqual([top?.info, top?.backing_chain], [single['info'], single['backing_chain']]);
    assert.equal(top?.backing_chain?.length, 2);
    assert.equal(reasonIn(raw?.error), 'FORMAT_MISMATCH');
    assert.equal(base?.backing_chain?.length ?? 0, 0);
  });

  it('says the same of images that share folders and bases, through links in and above them', async () => {
    await mkdir(at('shared/deep'), { recursive: true });
    const names = Array.from({ length: 12 }, (_, n) => `shared/deep/overlay-${String(n)}.qcow2`);
    for (const name of names)
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', at('top.qcow2'), at(name));
    // Another spelling of the same base, and a chain that comes back to its own top.
    const spelt = ['-f', 'qcow2', '-u', '-F', 'qcow2', '-b', '../../top.qcow2'];
    await sh('qemu-img', 'create', '-q', ...spelt, at('shared/deep/relative.qcow2'), '8M');
    const circle = ['-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'circle.qcow2'];
    await sh('qemu-img', 'create', '-q', ...circle, at('shared/deep/circle.qcow2'), '8M');
    await symlink('../../top.qcow2', at('shared/deep/up'));
    await symlink('shared/deep', at('by-link'));
    await symlink('../beside/hidden.qcow2', at('shared/leaf'));
    const paths = [
      ...[...names, 'shared/deep/relative.qcow2', 'shared/deep/up', 'shared/deep/circle.qcow2', 'shared/leaf'],
      ...['by-link/up', 'by-link/overlay-1.qcow2', 'shared/deep/absent', 'shared/absent/x', 'shared/deep/up/x'],
      ...names,
    ].map(at);
    const options = { format: 'qcow2', backing_chain: true };
    for (const request of [options, {}]) {
      const results = await batch({ paths, ...request });
      for (const [index, path] of paths.entries()) {
        const single = await alone(path, request);
        const { info, error, backing_chain: chain } = results[index] ?? {};
        if (single instanceof CallError) assert.equal(reasonIn(error), single.reason, path);
        else assert.deepEqual([info, chain], [single['info'], single['backing_chain']], path);
      }
    }
  });

  it('shows a caller nothing outside of its places, whether it is there or not', async () => {
    const confined = new Stranger(`unix://${socket()}`);
    try {
      const hidden = ['beside/hidden.qcow2', 'beside/absent', 'in/link', 'absent', 'beside'].map(at);
      const results = await batch({ paths: [at('in/plain.qcow2'), ...hidden] }, confined);
      assert.equal(results[0]?.info?.['path'], at('in/plain.qcow2'));
      for (const [index, path] of hidden.entries()) {
        const { info, error } = results[index + 1] ?? {};
        assert.equal(info, undefined, path);
        assert.equal(reasonIn(error), 'PATH_OUTSIDE_ROOTS', path);
        assert.equal(error?.code, ((await alone(path, {}, confined)) as CallError).code);
      }
    } finally {
      confined.close();
    }
  });

  it(`takes ${String(MOST)} paths, and refuses none, one more, and what is wrong with the call itself`, async () => {
    const results = await batch({ paths: new Array<string>(MOST).fill(at('disk.raw')) });
    assert.equal(results.length, MOST);
    assert.ok(results.every(({ info, index = 0 }, place) => info !== undefined && index === place));
    for (const request of [
      {},
      { paths: [] },
      { paths: new Array<string>(MOST + 1).fill('/x') },
      { paths: [at('disk.raw')], format: 'none such' },
      { paths: [at('disk.raw')], backing_chain: true },
    ])
      assert.equal((await failure(batch(request))).reason, 'INVALID_FIELD');
  });

  it('gives its place back when its caller goes in the middle', async () => {
    const paths = new Array<string>(MOST).fill(at('disk.raw'));
    // More than a caller may have at work at once.
    for (let call = 0; call < 40; call++) {
      const stream = daemon.get().stranger.stream(RPC, { paths });
      await new Promise((resolve) => stream.once('data', resolve));
      const gone = new Promise((resolve) => stream.once('error', resolve));
      stream.cancel();
      await gone;
    }
    assert.equal((await batch({ paths: [at('disk.raw')] })).length, 1);
  });

  it('hostler image info takes several paths, and its exit code is that of the first failure', async () => {
    const info = (...paths: readonly string[]) =>
      tryRun(HOSTLER, ['--address', daemon.get().address, '--json', 'image', 'info', ...paths]);
    const resultsIn = ({ stdout }: Ended) =>
      (JSON.parse(stdout) as { results: { readonly error?: { readonly code: number } }[] }).results;
    const both = await info(at('top.qcow2'), at('disk.raw'));
    assert.equal(both.code, 0, both.stderr);
    assert.equal(resultsIn(both).length, 2);
    const failed = await info(at('absent'), at('disk.raw'), '/etc/passwd');
    assert.equal(failed.code, 3, failed.stderr);
    assert.deepEqual(
      resultsIn(failed).map(({ error }) => error?.code),
      [5, undefined, 7],
    );
  });
});
