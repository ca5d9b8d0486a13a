/** ListDirectory on a folder of many names, which change while it is listed. */
import assert from 'node:assert/strict';
import { mkdir, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

/** A million takes half a minute to make. */
const ENTRIES = 50_000;
const PAGE = 2000;
/** What no input may hold the main thread for. */
const HELD_MS = 10;

describe('ListDirectory of a large folder', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({ heldMs: HELD_MS }));
  const folder = () => daemon.get().image('many');
  const page = (token: string, path = folder()) =>
    daemon.get().stranger.unary('FileService/ListDirectory', { path, page_size: PAGE, page_token: token });
  const namesIn = (answer: Message) => ((answer['entries'] ?? []) as Message[]).map(({ name }) => name as string);
  const nextOf = (answer: Message) => (answer['next_page_token'] as string | undefined) ?? '';
  const name = (n: number) => `name ${String(n).padStart(7, '0')}`;

  before(async () => {
    const files = `const fs = require('fs'); fs.mkdirSync(process.argv[1]); process.chdir(process.argv[1]);
      for (let n = 0; n < ${String(ENTRIES)}; n++) fs.closeSync(fs.openSync('name ' + String(n).padStart(7, '0'), 'w'));`;
    await sh(process.execPath, '-e', files, folder());
  });

  it('has each name that is there all the time, once and in order', async () => {
    const found: string[] = [];
    let first = true;
    for (let token = ''; ;) {
      const answer = await page(token);
      found.push(...namesIn(answer));
      token = nextOf(answer);
      if (token === '') break;
      if (first) {
        // Behind and before where the list is.
        await unlink(join(folder(), name(0)));
        await unlink(join(folder(), name(ENTRIES - 1)));
        for (const each of ['a', 'z']) await writeFile(join(folder(), each), '');
      }
      first = false;
    }
    const those = found.filter((each) => each.startsWith('name '));
    assert.deepEqual(
      those,
      Array.from({ length: ENTRIES - 1 }, (_, n) => name(n)),
    );
    assert.ok(!found.includes('a'));
    // A list that begins has what is there then.
    assert.equal(namesIn(await page(''))[0], 'a');
    await writeFile(join(folder(), '1'), '');
    assert.equal(namesIn(await page(''))[0], '1');
  });

  it('goes on where it was after it was removed and made again, and ends when it is gone', async () => {
    const path = daemon.get().image('other');
    await sh('cp', '-r', folder(), path);
    const token = nextOf(await page('', path));
    await rm(path, { recursive: true });
    assert.equal((await failure(page(token, path))).reason, 'FILE_NOT_FOUND');
    await mkdir(path);
    await writeFile(join(path, 'name 9'), '');
    await writeFile(join(path, '0'), '');
    assert.deepEqual(namesIn(await page(token, path)), ['name 9']);
    // A link in its place leads nowhere else.
    await rm(path, { recursive: true });
    await symlink('/etc', path);
    assert.equal((await failure(page(token, path))).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('many lists at a time', async () => {
    const lists = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const first = await page('');
        return [...namesIn(first), ...namesIn(await page(nextOf(first)))];
      }),
    );
    for (const list of lists) assert.deepEqual(list, lists[0]);
  });
});
