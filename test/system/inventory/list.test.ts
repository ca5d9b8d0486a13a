/** The inventory: what ListImages shows is what find and qemu-img say, and WatchImages what changes. */
import assert from 'node:assert/strict';
import { appendFile, chmod, link, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

interface Listed extends Message {
  readonly path: string;
  readonly format: string;
}

/** Every page of a list. */
async function listed(stranger: Stranger, request: Message) {
  const images: Listed[] = [];
  for (let token = '', pages = 1; ; pages++) {
    const answer = await stranger.unary('ImageService/ListImages', { ...request, page_token: token });
    images.push(...((answer['images'] ?? []) as Listed[]));
    token = (answer['next_page_token'] ?? '') as string;
    if (token === '') return { images, pages, generation: answer['generation'] as string };
  }
}

/** The picture of a root, kept by a watch. */
class Picture {
  readonly images = new Map<string, Listed>();
  readonly kinds: string[] = [];
  /** Changed, and not in the picture. */
  readonly missed: string[] = [];
  messages = 0;
  generation: string;
  #stream: ClientReadableStream<Message> | undefined;
  ended: unknown;

  constructor(
    private readonly path: string,
    { images, generation }: { images: readonly Listed[]; generation: string },
  ) {
    for (const image of images) this.images.set(image.path, image);
    this.generation = generation;
  }

  watch(stranger: Stranger): this {
    this.#stream = stranger.stream('ImageService/WatchImages', { path: this.path, generation: this.generation });
    this.#stream.on('error', (error) => (this.ended = error));
    this.#stream.on('data', ({ changes = [], generation }: Message) => {
      for (const { kind, path, image } of changes as { kind: string; path: string; image?: Listed }[]) {
        const what = kind.replace('IMAGE_CHANGE_KIND_', '');
        if (what === 'CHANGED' && !this.images.has(path)) this.missed.push(path);
        this.kinds.push(`${what} ${path.slice(this.path.length + 1)}`);
        if (what === 'REMOVED') this.images.delete(path);
        else if (image !== undefined) this.images.set(path, image);
      }
      this.generation = generation as string;
      this.messages += 1;
    });
    return this;
  }

  get paths(): string[] {
    return [...this.images.keys()].sort();
  }

  leave(): void {
    this.#stream?.cancel();
  }
}

const when = (condition: () => boolean) => until(() => Promise.resolve(condition()));
const found = async (folder: string) =>
  (await sh('find', folder, '-type', 'f', '-print0')).split('\0').filter(Boolean).sort();

describe('the inventory', () => {
  const scratch = scratchFolder();
  const socket = () => scratch.path('daemon', 'confined.sock');
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${socket()}"\nrole = "confined"`,
      `[roles.confined]\nservices = ["ImageService"]\nread = ["${scratch.path('daemon/images/base')}"]`,
      `write = ["${scratch.path('daemon/images/vm 1')}"]\n`,
    ].join('\n'),
  }));
  const at = (...names: readonly string[]) => join(daemon.get().image(''), ...names);
  const root = () => scratch.path('daemon/images');
  const list = (request: Message, stranger = daemon.get().stranger) => listed(stranger, request);
  const pictures: Picture[] = [];
  const picture = async (path = root()) => {
    const made = new Picture(path, await list({ path })).watch(daemon.get().stranger);
    pictures.push(made);
    return made;
  };

  before(async () => {
    for (const name of ['base', 'vm 1', 'vm 1/deep', 'vm-2']) await mkdir(at(name));
    const create = (name: string, ...words: readonly string[]) =>
      sh('qemu-img', 'create', '-q', ...words, at(name), '8M');
    await create('base/one.qcow2', '-f', 'qcow2');
    await create('vm 1/disk', '-f', 'qcow2', '-F', 'qcow2', '-b', at('base/one.qcow2'));
    await create('vm-2/disk', '-f', 'qcow2', '-F', 'qcow2', '-b', '../base/one.qcow2');
    await create('vm 1/deep/other.vmdk', '-f', 'vmdk');
    await writeFile(at('vm 1/console.log'), 'not an image');
    await writeFile(at('vm 1/a\nname "quoted" \u{1f4be}'), Buffer.alloc(512));
    await writeFile(at('vm-2/broken'), Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(504)]));
    await writeFile(Buffer.concat([Buffer.from(at('vm-2/')), Buffer.from([0xff, 0xfe])]), 'no UTF-8');
    await symlink('/etc', at('etc'));
    await symlink('one.qcow2', at('base/link'));
  });
  afterEach(() => {
    for (const each of pictures.splice(0)) each.leave();
  });

  it('is what find says, page by page in one order, and each is what GetImageInfo says', async () => {
    const { images } = await list({ path: root() });
    const utf8 = images.filter(({ raw_path }) => raw_path === undefined);
    const there = (await found(root())).filter((path) => !path.includes('\uFFFD'));
    assert.deepEqual(utf8.map(({ path }) => path).sort(), there);
    assert.deepEqual(
      images.flatMap(({ raw_path }) =>
        raw_path === undefined ? [] : [(raw_path as Buffer).subarray(-2).toString('hex')],
      ),
      ['fffe'],
    );
    for (const size of [1, 2, 100]) assert.deepEqual((await list({ path: root(), page_size: size })).images, images);
    for (const image of utf8) {
      if (image['malformed'] !== undefined) continue;
      const { info } = (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path: image.path })) as {
        info: Message;
      };
      for (const field of ['format', 'virtual_size_bytes', 'file_length_bytes', 'allocated_bytes', 'backing_file'])
        assert.deepEqual(image[field], info[field], `${image.path}: ${field}`);
    }
    const broken = images.find(({ path }) => path === at('vm-2/broken'));
    assert.match(String(broken?.['malformed']), /qcow2/);
  });

  it('counts dependants by absolute and relative names, and filters', async () => {
    const by = async (filter: Message, more: Message = {}) =>
      (await list({ path: root(), filter, ...more })).images.map(({ path }) => path.slice(root().length + 1)).sort();
    const { images } = await list({ path: at('base/one.qcow2') });
    assert.deepEqual([images.length, images[0]?.['dependants']], [1, 2]);
    assert.deepEqual(await by({ has_dependants: true }), ['base/one.qcow2']);
    assert.deepEqual(await by({ formats: ['vmdk'] }), ['vm 1/deep/other.vmdk']);
    assert.deepEqual(await by({ formats: ['qcow2'], has_dependants: false }), [
      'vm 1/disk',
      'vm-2/broken',
      'vm-2/disk',
    ]);
    assert.deepEqual(await by({ unwritten_since: { seconds: '1', nanos: 0 } }), []);
    const flat = await list({ path: at('vm 1'), flat: true });
    assert.deepEqual(
      flat.images.map(({ path }) => path).sort(),
      (await sh('find', at('vm 1'), '-maxdepth', '1', '-type', 'f', '-print0')).split('\0').filter(Boolean).sort(),
    );
    assert.deepEqual((await list({ path: at('vm') }).catch(() => ({ images: 'none' }))).images, 'none');
  });

  it('shows a caller what lies in its places only', async () => {
    const confined = new Stranger(`unix://${socket()}`);
    try {
      for (const path of [root(), at('vm-2'), at('vm-2/disk'), '/etc', at('etc')])
        assert.equal((await failure(list({ path }, confined))).reason, 'PATH_OUTSIDE_ROOTS', path);
      const { images } = await list({ path: at('base') }, confined);
      // The other dependant is out of its sight.
      assert.deepEqual(
        images.map(({ path, dependants }) => [path, dependants]),
        [[at('base/one.qcow2'), 1]],
      );
    } finally {
      confined.close();
    }
  });

  it('refuses what it did not give, and what it knows no more', async () => {
    const first = await daemon.get().stranger.unary('ImageService/ListImages', { path: root(), page_size: 1 });
    const token = first['next_page_token'] as string;
    const [life, number, folder, name] = JSON.parse(Buffer.from(token, 'base64url').toString()) as unknown[];
    const forged = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    for (const page_token of ['x', forged(), forged(life, -1, folder, name), forged(life, 'x', folder, name)])
      assert.equal((await failure(list1(page_token))).reason, 'INVALID_FIELD', page_token);
    for (const page_token of [forged('0'.repeat(16), number, folder, name), forged(life, 1e9, folder, name)])
      assert.equal((await failure(list1(page_token))).reason, 'GENERATION_TOO_OLD', page_token);
    const watch = (generation: string) =>
      daemon.get().stranger.all('ImageService/WatchImages', { path: root(), generation });
    for (const generation of ['x', '1.2', `${String(life)}.-1`])
      assert.equal((await failure(watch(generation))).reason, 'INVALID_FIELD');
    for (const generation of [`${'0'.repeat(16)}.1`, `${String(life)}.999999`])
      assert.equal((await failure(watch(generation))).reason, 'GENERATION_TOO_OLD');
    for (const path of ['rbd:', 'rbd:a/b/c', 'rbd:a@b'])
      assert.equal((await failure(list({ path }))).reason, 'INVALID_FIELD', path);
    for (const path of ['rbd:pool', 'rbd:pool/namespace']) {
      assert.equal((await failure(list({ path }))).reason, 'POOL_NOT_FOUND', path);
      assert.equal((await failure(list({ path, filter: { orphaned: true } }))).reason, 'UNSUPPORTED_BY_BACKEND');
      const changes = daemon.get().stranger.all('ImageService/WatchImages', { path });
      assert.equal((await failure(changes)).reason, 'UNSUPPORTED_BY_BACKEND');
    }
    assert.equal((await failure(list({ path: at('absent') }))).reason, 'FILE_NOT_FOUND');

    function list1(page_token: string) {
      return daemon.get().stranger.unary('ImageService/ListImages', { path: root(), page_token });
    }
  });

  it('follows each kind of change by other programs', async () => {
    const seen = await picture();
    await mkdir(at('new'));
    await writeFile(at('new/file'), 'x');
    await when(() => seen.images.has(at('new/file')));
    await appendFile(at('new/file'), 'y');
    await when(() => seen.images.get(at('new/file'))?.['file_length_bytes'] === '2');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('new/made'), '16M');
    await when(() => seen.images.get(at('new/made'))?.['virtual_size_bytes'] === String(16 << 20));
    await sh('qemu-img', 'resize', '-q', at('new/made'), '32M');
    await when(() => seen.images.get(at('new/made'))?.['virtual_size_bytes'] === String(32 << 20));
    await rename(at('new/made'), at('new/renamed'));
    await when(() => seen.images.has(at('new/renamed')) && !seen.images.has(at('new/made')));
    await rename(at('new'), at('moved'));
    await when(() => seen.images.has(at('moved/renamed')) && !seen.images.has(at('new/renamed')));
    // The folder is followed at its new place.
    await writeFile(at('moved/later'), 'x');
    await when(() => seen.images.has(at('moved/later')));
    await link(at('moved/later'), at('moved/second'));
    await when(() => seen.images.has(at('moved/second')));
    await truncate(at('moved/second'), 4096);
    await chmod(at('moved/second'), 0o600);
    await when(() => seen.images.get(at('moved/second'))?.['file_length_bytes'] === '4096');
    await rename(at('moved/renamed'), at('moved/later'));
    await when(() => seen.images.get(at('moved/later'))?.format === 'qcow2');
    await rm(at('moved'), { recursive: true });
    await when(() => !seen.paths.some((path) => path.startsWith(at('moved'))));
    assert.equal(seen.ended, undefined);
    assert.deepEqual(seen.paths, (await list({ path: root() })).images.map(({ path }) => path).sort());
  });

  it('lists what was there at the first page, and a watch from there has the rest', async () => {
    const names = Array.from({ length: 20 }, (_, n) => `many-${String(n).padStart(2, '0')}`);
    await mkdir(at('many'));
    for (const name of names) await writeFile(at('many', name), name);
    const request = { path: at('many'), page_size: 5 };
    const first = await daemon.get().stranger.unary('ImageService/ListImages', request);
    await writeFile(at('many/many-00'), 'longer than before');
    await writeFile(at('many/many-19'), 'longer than before, too');
    await rm(at('many/many-10'));
    await writeFile(at('many/many-15x'), 'new');
    // Another list shows that the daemon knows.
    await until(async () => (await list({ path: at('many') })).images.some(({ path }) => path.endsWith('15x')));
    const rest: Listed[] = [...(first['images'] as Listed[])];
    for (let token = first['next_page_token']; token !== undefined && token !== '';) {
      const answer = await daemon.get().stranger.unary('ImageService/ListImages', { ...request, page_token: token });
      assert.equal(answer['generation'], first['generation']);
      rest.push(...((answer['images'] ?? []) as Listed[]));
      token = answer['next_page_token'];
    }
    assert.deepEqual(
      rest.map(({ path }) => path),
      names.map((name) => at('many', name)),
    );
    assert.ok(
      rest.every(({ path, file_length_bytes }) => file_length_bytes === String(path.length - at('many/').length)),
    );
    const seen = new Picture(at('many'), { images: rest, generation: first['generation'] as string });
    pictures.push(seen.watch(daemon.get().stranger));
    await when(() => seen.kinds.length === 4);
    assert.deepEqual(seen.kinds.sort(), ['CHANGED many-00', 'CHANGED many-19', 'CREATED many-15x', 'REMOVED many-10']);
  });

  it('tells a watch of a place in which nothing changes how far it has come', async () => {
    const seen = await picture(at('vm-2'));
    await when(() => seen.messages > 0);
    const before = seen.generation;
    await writeFile(at('base/elsewhere'), 'x');
    await when(() => seen.generation !== before);
    assert.deepEqual(seen.kinds, []);
    await rm(at('base/elsewhere'));
  });

  it('goes on from a generation after a restart, with what changed meanwhile, and anew without its file', async () => {
    const folder = scratch.path('again');
    let again = await Daemon.start(folder);
    const file = (name: string) => again.image(name);
    for (const name of ['kept', 'changed', 'removed']) await writeFile(file(name), name);
    const path = join(folder, 'images');
    const before = await listed(again.stranger, { path });
    again.process.kill('SIGKILL');
    await again.exited;
    await writeFile(file('changed'), 'other');
    await rm(file('removed'));
    await writeFile(file('created'), 'x');
    again = await Daemon.start(folder);
    const seen = new Picture(path, before).watch(again.stranger);
    await when(() => seen.kinds.length === 3);
    assert.deepEqual(seen.kinds.sort(), ['CHANGED changed', 'CREATED created', 'REMOVED removed']);
    seen.leave();
    await again.stop();
    await rm(join(folder, 'state/inventory'), { recursive: true });
    again = await Daemon.start(folder);
    const watch = again.stranger.all('ImageService/WatchImages', { path, generation: seen.generation });
    assert.equal((await failure(watch)).reason, 'GENERATION_TOO_OLD');
    assert.deepEqual((await listed(again.stranger, { path })).images.length, 3);
    await again.stop();
    // What is no database is made anew, too.
    for (const name of await (await import('node:fs/promises')).readdir(join(folder, 'state/inventory')))
      await writeFile(join(folder, 'state/inventory', name), 'damaged'.repeat(1000));
    again = await Daemon.start(folder);
    assert.deepEqual((await listed(again.stranger, { path })).images.length, 3);
    await again.stop();
  });

  it('is shown by hostler ls, tree and du', async () => {
    const hostler = async (...words: readonly string[]) => {
      const { code, stdout, stderr } = await tryRun(HOSTLER, ['--address', daemon.get().address, ...words]);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const ls = await hostler('ls', at('base'));
    assert.match(ls, /FORMAT +SIZE +ON DISK +DEPENDANTS +HELD BY +PATH\nqcow2 +8\.0 MiB .* 2 +\S+\/base\/one\.qcow2\n/);
    const { images } = JSON.parse(await hostler('--json', 'ls', root(), '--format', 'vmdk')) as { images: Listed[] };
    assert.deepEqual(
      images.map(({ path }) => path),
      [at('vm 1/deep/other.vmdk')],
    );
    assert.doesNotMatch(await hostler('ls', root(), '--no-dependants'), /one\.qcow2/);
    const tree = await hostler('tree', root());
    assert.match(tree, /base\/one\.qcow2 .*\n├── \S+vm 1\/disk .*\n└── \S+vm-2\/disk /);
    assert.match(await hostler('du', root()), /ON DISK +IMAGES +FOLDER\n/);
    assert.equal((await tryRun(HOSTLER, ['--address', daemon.get().address, 'ls', at('absent')])).code, 3);
  });

  it('is what find says after 10,000 changes at random, without a change missed or doubled', async () => {
    await mkdir(at('race'));
    const seen = await picture(at('race'));
    const race = { over: false };
    const raced = sh('python3', '-c', RACE, at('race'), '10000').finally(() => (race.over = true));
    // Lists beside it: each is of one moment, so no path is in it twice.
    for (let lists = 0; !race.over || lists === 0; lists++) {
      const { images } = await list({ path: at('race'), page_size: 100 });
      assert.equal(new Set(images.map(({ path }) => path)).size, images.length);
    }
    await raced;
    const there = await found(at('race'));
    // What differs is shown below.
    await when(() => JSON.stringify(seen.paths) === JSON.stringify(there)).catch(() => undefined);
    assert.doesNotMatch(daemon.get().log, /the inventory of a root failed/);
    assert.deepEqual(seen.paths, there);
    assert.equal(seen.ended, undefined);
    assert.deepEqual(seen.missed, []);
    assert.deepEqual((await list({ path: at('race') })).images.map(({ path }) => path).sort(), there);
    const now = new Map((await list({ path: at('race') })).images.map((image) => [image.path, image]));
    for (const [path, image] of seen.images) {
      const other = now.get(path);
      for (const field of ['file_length_bytes', 'modify_time', 'format'])
        assert.deepEqual(image[field], other?.[field], `${path}: ${field}`);
    }
  });
});

/** Makes, writes, renames and removes files and folders at random, until so many changes succeeded. */
const RACE = `
import os, random, shutil, sys
root, count = sys.argv[1], int(sys.argv[2])
rng = random.Random(21)
folders = [root]
name = lambda: rng.choice('abcdefghij') + str(rng.randrange(30))
while count > 0:
    folder = rng.choice(folders)
    path = os.path.join(folder, name())
    act = rng.random()
    try:
        if act < .4:
            with open(path, 'ab') as file: file.write(b'x' * rng.randrange(100))
        elif act < .6: os.remove(path)
        elif act < .75: os.rename(path, os.path.join(rng.choice(folders), name()))
        elif act < .85:
            os.mkdir(path); folders.append(path)
        elif act < .9 and folder != root:
            target = os.path.join(root, name())
            os.rename(folder, target)
            folders = [target + f[len(folder):] if f == folder or f.startswith(folder + '/') else f for f in folders]
        elif act < .93 and folder != root:
            shutil.rmtree(folder)
            folders = [f for f in folders if f != folder and not f.startswith(folder + '/')]
        else: os.utime(path)
        count -= 1
    except OSError: pass
`;
