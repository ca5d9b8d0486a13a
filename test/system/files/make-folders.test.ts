/** CreateDirectory and ListDirectory on real folders. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const PERMISSIONS = 0o7777;

describe('CreateDirectory', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    mkdirSync(scratch.path('shared'));
    const roots = [
      `[[roots]]\npath = "${scratch.path('daemon/images')}"`,
      `[[roots]]\npath = "${scratch.path('shared')}"\nmode = "0640"\n`,
    ];
    return { roots: roots.join('\n') };
  });
  const at = (name: string) => daemon.get().image(name);
  const make = async (path: string, more: Message = {}) => {
    const result = await daemon.get().stranger.operation('FileService/CreateDirectory', { path, ...more });
    return result['directory'] as Message;
  };
  const reason = async (path: string, more: Message = {}) => (await failure(make(path, more))).reason;
  const mode = async (path: string) => (await lstat(path)).mode & PERMISSIONS;

  it('makes one folder, and finds it there the next time', async () => {
    const made = await make(at('one'));
    assert.deepEqual([made['existed'] ?? false, made['topmost_path'], made['made_items']], [false, at('one'), 1]);
    assert.equal(await mode(at('one')), 0o700);
    await chmod(at('one'), 0o755);
    assert.equal((await make(at('one'), { attributes: { mode: 0o700 } }))['existed'], true);
    assert.equal(await mode(at('one')), 0o755);
    // The root itself, and a link to a folder.
    assert.equal((await make(scratch.path('daemon/images'), { parents: true }))['existed'], true);
    await symlink('one', at('link'));
    assert.equal((await make(at('link')))['existed'], true);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('makes the missing ones above it, all with the same owner and mode', async () => {
    assert.equal(await reason(at('a/b/c')), 'PARENT_NOT_FOUND');
    const attributes = { mode: 0o750, ...(isRoot ? { owner: '12', group: '34' } : {}) };
    const made = await make(at('a/b/c'), { parents: true, attributes });
    assert.deepEqual([made['topmost_path'], made['made_items']], [at('a'), 3]);
    for (const name of ['a', 'a/b', 'a/b/c']) {
      const { uid, gid } = await lstat(at(name));
      assert.equal(await mode(at(name)), 0o750, name);
      if (isRoot) assert.deepEqual([uid, gid], [12, 34], name);
    }
    assert.deepEqual([(await make(at('a/b/d/e'), { parents: true }))['made_items']], [2]);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('knows links that lead to each other, or nowhere', async () => {
    await symlink('circle', at('circle'));
    await symlink('there', at('here'));
    await symlink('here', at('there'));
    await symlink('missing', at('nowhere'));
    for (const name of ['circle', 'here', 'nowhere']) {
      assert.equal(await reason(at(name)), 'TARGET_EXISTS', name);
      assert.equal(await reason(at(`${name}/below`)), 'PARENT_NOT_FOUND', name);
      assert.equal(await reason(at(`${name}/a/b`), { parents: true }), 'TARGET_EXISTS', name);
    }
    const image = { path: at('circle/image'), format: 'raw', size: '1M' };
    const creating = daemon.get().stranger.operation('ImageService/CreateImage', image);
    assert.equal((await failure(creating)).reason, 'PARENT_NOT_FOUND');
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('gives them what the root says of files, with the right to enter where one may read', async () => {
    await make(scratch.path('shared/folder'));
    assert.equal(await mode(scratch.path('shared/folder')), 0o750);
  });

  it('keeps the group of a folder that gives it to all in it', async function () {
    needs(this, isRoot, 'only root gives files to other groups');
    await mkdir(at('grouped'));
    await chmod(at('grouped'), 0o2775);
    const made = at('grouped/x/y');
    await make(made, { parents: true, attributes: { mode: 0o755 } });
    assert.equal(await mode(made), 0o2755);
  });

  it('never takes the place of anything else', async () => {
    await writeFile(at('file'), 'x');
    await symlink('nowhere', at('dangling'));
    await symlink('file', at('to-file'));
    for (const name of ['file', 'file/below', 'dangling', 'dangling/below', 'to-file', 'to-file/below'])
      assert.equal(await reason(at(name), { parents: true }), 'TARGET_EXISTS', name);
    for (const name of ['file/below', 'dangling/below']) assert.equal(await reason(at(name)), 'PARENT_NOT_FOUND', name);
    assert.equal((await lstat(at('file'))).size, 1);
  });

  it('stays inside the roots, and out of what the daemon keeps', async () => {
    await symlink('/tmp', at('out'));
    for (const path of ['/etc/hostler/x', at('out/x'), at('.hostler-x'), at('new/.hostler-x/y')])
      assert.equal(await reason(path, { parents: true }), 'PATH_OUTSIDE_ROOTS', path);
    for (const path of ['relative', `${at('x')}/../y`, `${at('x')}//y`, `${at('x')}/`, at('n'.repeat(256))])
      assert.equal(await reason(path, { parents: true }), 'INVALID_FIELD', path);
    assert.equal(await reason(at('m'), { attributes: { mode: 0o4755 } }), 'INVALID_FIELD');
    await rm(at('out'));
  });

  it('as deep as a path can be long', async () => {
    const room = 4000 - Buffer.byteLength(at('d'));
    const deep = join(at('d'), ...Array<string>(Math.floor(room / 2)).fill('x'));
    const made = await make(deep, { parents: true });
    assert.equal(made['made_items'], deep.slice(scratch.path('daemon/images').length + 1).split('/').length);
    assert.equal((await make(deep, { parents: true }))['existed'], true);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('plans, and answers a repeated request with its first result', async () => {
    const { plan } = await daemon
      .get()
      .stranger.operation('FileService/CreateDirectory', { path: at('p/q'), parents: true, plan_only: true });
    assert.match((plan as Message)['why'] as string, /^2 folders are missing/);
    assert.equal(await reason(at('p/q')), 'PARENT_NOT_FOUND');
    const again = { parents: true, request_id: 'folders' };
    assert.equal((await make(at('p/q'), again))['made_items'], 2);
    assert.equal((await make(at('p/q'), again))['made_items'], 2);
  });
});

describe('ListDirectory', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({ stateFolder: scratch.path('daemon/images/state') }));
  const at = (name: string) => daemon.get().image(name);
  const page = (path: string, more: Message = {}) =>
    daemon.get().stranger.unary('FileService/ListDirectory', { path, ...more });
  const entries = (answer: Message) => (answer['entries'] ?? []) as Message[];
  const names = (answer: Message) => entries(answer).map(({ name, raw_name: raw }) => name ?? raw);
  const reason = async (path: string, more: Message = {}) => (await failure(page(path, more))).reason;
  async function all(path: string, size: number): Promise<unknown[]> {
    const found: unknown[] = [];
    for (let token = ''; ;) {
      const answer = await page(path, { page_size: size, page_token: token });
      assert.ok(entries(answer).length <= size);
      found.push(...names(answer));
      token = (answer['next_page_token'] as string | undefined) ?? '';
      if (token === '') return found;
    }
  }

  it('says what each name stands for, and follows no link', async () => {
    await mkdir(at('kinds/folder'), { recursive: true });
    await writeFile(at('kinds/file'), 'hello', { mode: 0o640 });
    await symlink('/etc/passwd', at('kinds/link'));
    const found = entries(await page(at('kinds')));
    assert.deepEqual(
      found.map(({ name, file_type: type }) => [name, type]),
      [
        ['file', 'FILE_TYPE_REGULAR'],
        ['folder', 'FILE_TYPE_DIRECTORY'],
        ['link', 'FILE_TYPE_LINK'],
      ],
    );
    const { size_bytes: size, mode } = found[0] ?? {};
    assert.deepEqual([size, mode], ['5', 0o640]);
    assert.deepEqual(names(await page(at('kinds/folder'))), []);
  });

  it('in the order of the bytes, whatever the names and the size of the pages', async () => {
    await mkdir(at('many'));
    const made = ['ü', 'z', 'Z', 'a b', '-r', 'new\nline', '%', "'", 'ab', 'a', 'é', '\u{1F600}', 'x'.repeat(255)];
    for (const name of made) await writeFile(join(at('many'), name), '');
    const sorted = made.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const size of [1, 2, 5, made.length, 1000]) assert.deepEqual(await all(at('many'), size), sorted);
  });

  it('shows names that are not UTF-8 as bytes', async () => {
    await mkdir(at('odd'));
    const raw = Buffer.from([0x66, 0xff, 0xfe]);
    await writeFile(Buffer.concat([Buffer.from(`${at('odd')}/`), raw]), '');
    await writeFile(at('odd/g'), '');
    const [first, second] = entries(await page(at('odd')));
    assert.deepEqual([first?.['name'] ?? '', Buffer.from(first?.['raw_name'] as Buffer)], ['', raw]);
    assert.equal(second?.['name'], 'g');
    // Such a name can end a page.
    assert.equal((await all(at('odd'), 1)).length, 2);
    await rm(at('odd'), { recursive: true });
  });

  it('refuses tokens that are none of this folder', async () => {
    await mkdir(at('first'));
    await mkdir(at('second'));
    for (const name of ['a', 'b', 'c'])
      for (const folder of ['first', 'second']) await writeFile(at(`${folder}/${name}`), '');
    const token = (await page(at('first'), { page_size: 1 }))['next_page_token'] as string;
    assert.deepEqual(names(await page(at('first'), { page_token: token })), ['b', 'c']);
    const forged = [
      ...['x', `${token}A`, token.slice(1), token.toUpperCase(), `${token}=`],
      ...[Buffer.from('../../etc'), Buffer.alloc(300, 'a'), Buffer.from('12345678')].map((bytes) =>
        bytes.toString('base64url'),
      ),
    ];
    for (const page_token of forged)
      assert.equal(await reason(at('first'), { page_token }), 'INVALID_FIELD', page_token);
    assert.equal(await reason(at('second'), { page_token: token }), 'INVALID_FIELD');
    // The name of a token may be gone.
    await rm(at('first/a'));
    assert.deepEqual(names(await page(at('first'), { page_token: token })), ['b', 'c']);
  });

  it('lists folders only, inside of the roots, without what the daemon keeps', async () => {
    await writeFile(at('file'), '');
    await symlink('/etc', at('out'));
    assert.equal(await reason(at('file')), 'NOT_A_DIRECTORY');
    assert.equal(await reason(at('absent')), 'FILE_NOT_FOUND');
    assert.equal(await reason(at('file/below')), 'FILE_NOT_FOUND');
    for (const path of [at('out'), '/etc']) assert.equal(await reason(path), 'PATH_OUTSIDE_ROOTS', path);
    await mkdir(at('.hostler-000000000000-x'));
    assert.ok(!names(await page(scratch.path('daemon/images'))).includes('.hostler-000000000000-x'));
    assert.ok((await readdir(scratch.path('daemon/images'))).includes('.hostler-000000000000-x'));
    await mkdir(at('elsewhere/state'), { recursive: true });
    assert.ok((await readdir(scratch.path('daemon/images'))).includes('state'));
    assert.ok(!names(await page(scratch.path('daemon/images'))).includes('state'));
    assert.deepEqual(names(await page(at('elsewhere'))), ['state']);
    assert.equal(await reason(at('state')), 'PATH_OUTSIDE_ROOTS');
    await rm(at('.hostler-000000000000-x'), { recursive: true });
    await rm(at('out'));
  });
});
