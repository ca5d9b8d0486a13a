/** Roots that somebody has made so that an inventory of them goes wrong. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('an inventory of an odd root', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (...names: readonly string[]) => join(scratch.path('daemon/images'), ...names);
  const list = async (path: string) => {
    const [paths, unseen] = [new Set<string>(), new Set<string>()];
    for (let token = ''; ;) {
      const request = { path, page_size: 1000, page_token: token };
      const page = await daemon.get().stranger.unary('ImageService/ListImages', request);
      for (const each of (page['images'] ?? []) as Message[]) paths.add(String(each['path']));
      for (const each of (page['unseen'] ?? []) as Message[]) unseen.add(String(each['path']));
      token = (page['next_page_token'] ?? '') as string;
      if (token === '') return { paths: [...paths].sort(), unseen: [...unseen] };
    }
  };

  it('10,000 folders deep shows the rest, and says where it ends', async () => {
    await mkdir(at('deep'));
    await writeFile(at('deep/beside'), 'x');
    await sh('python3', '-c', DEEP, at('deep'));
    const { paths, unseen } = await list(at('deep'));
    assert.deepEqual(paths, [at('deep/beside'), at('deep/d/above')]);
    assert.equal(unseen.length, 1);
    assert.ok(unseen[0]?.startsWith(at('deep/d/d')));
    await sh('rm', '-rf', at('deep'));
    await until(async () => (await list(at(''))).paths.length === 0);
  });

  it('whose folder becomes a link while it is looked at shows nothing of where that leads', async () => {
    const outside = scratch.path('outside');
    for (const folder of [outside, at('swapped')]) await mkdir(folder);
    for (let n = 0; n < 50; n++) {
      await writeFile(join(outside, `secret-${String(n)}`), 'x');
      await writeFile(at('swapped', `own-${String(n)}`), 'x');
    }
    const swapper = spawn('python3', ['-c', SWAP, at('swapped'), outside, at('aside')], { stdio: 'inherit' });
    try {
      for (let n = 0; n < 200; n++) {
        const { paths } = await list(scratch.path('daemon/images'));
        assert.deepEqual(
          paths.filter((path) => path.includes('secret')),
          [],
        );
      }
    } finally {
      swapper.kill();
    }
  });

  it('whose changes a reader does not read keeps the latest of each for it', async () => {
    await mkdir(at('busy'), { recursive: true });
    const seen = new Map<string, string>();
    const stream = daemon.get().stranger.stream('ImageService/WatchImages', { path: at('busy') });
    stream.on('error', () => undefined); // it is cancelled below
    await new Promise((resolve) => stream.once('data', resolve));
    stream.pause();
    await sh('python3', '-c', BUSY, at('busy'));
    // Others are served meanwhile.
    assert.ok((await list(at('busy'))).paths.length > 0);
    stream.on('data', ({ changes = [] }: Message) => {
      for (const { kind, path } of changes as Message[])
        if (kind === 'IMAGE_CHANGE_KIND_REMOVED') seen.delete(String(path));
        else seen.set(String(path), String(kind));
    });
    stream.resume();
    const there = (await readdir(at('busy'))).map((name) => at(`busy/${name}`)).sort();
    await until(() => [...seen.keys()].sort().join(' ') === there.join(' '));
    stream.cancel();
  });
});

const DEEP = `
import os, sys
os.chdir(sys.argv[1])
for depth in range(10_000):
    os.mkdir('d'); os.chdir('d')
    if depth in (0, 9_999): open('above' if depth == 0 else 'below', 'w').close()
`;

const SWAP = `
import os, sys
folder, outside, aside = sys.argv[1:]
while True:
    os.rename(folder, aside); os.symlink(outside, folder)
    os.unlink(folder); os.rename(aside, folder)
`;

const BUSY = `
import os, sys
os.chdir(sys.argv[1])
for n in range(20_000):
    with open(f'image-{n % 500}', 'a') as file: file.write('x')
    if n % 7 == 0: os.unlink(f'image-{n % 500}')
`;
