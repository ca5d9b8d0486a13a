/** A folder that is replaced by a link, again and again, while what works on folders goes through it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suiteDaemon } from '../../support/daemon.js';
import { callByName } from '../../support/reasons/work.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, type Message } from '../../support/stranger.js';

const CALLS = 200;
const FINE = [
  ...['OK', 'PATH_OUTSIDE_ROOTS', 'FILE_NOT_FOUND', 'PARENT_NOT_FOUND', 'PATH_BUSY', 'TARGET_EXISTS'],
  ...['NOT_A_DIRECTORY', 'NOT_A_FILE', 'ROOT_UNAVAILABLE', 'DIRECTORY_NOT_EMPTY', 'SAME_FILE'],
];

describe('folders behind a path that is swapped', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);

  it('nothing outside is listed, made, moved or removed', async () => {
    const [outside, real] = [scratch.path('outside'), daemon.get().image('real')];
    for (const folder of [outside, real]) {
      for (const name of ['tree/below', 'moved']) await mkdir(join(folder, name), { recursive: true });
      await writeFile(join(folder, 'tree/below/file'), folder);
    }
    await writeFile(join(outside, 'tree/precious'), 'x');
    const before = (await readdir(outside, { recursive: true })).toSorted();
    const at = (name: string) => join(real, name);
    const calls: readonly (readonly [string, Message])[] = [
      ['ListDirectory', { path: at('tree') }],
      // Not `parents`: it would make the folder that is swapped.
      ['CreateDirectory', { path: at('tree/below/new') }],
      ['MoveFile', { source: at('tree/below'), target: at('moved/below') }],
      ['RemoveDirectory', { path: at('tree'), recursive: true }],
      ['MoveFile', { source: at('moved/below'), target: at('below') }],
      ['RemoveDirectory', { path: at('below'), recursive: true }],
    ];
    const script = fileURLToPath(new URL('../../support/faults/swapper.js', import.meta.url));
    const swapper = spawn(process.execPath, [script, real, outside], { stdio: ['pipe', 'ignore', 'inherit'] });
    const closed = once(swapper, 'close');
    const ends = new Map<string, number>();
    try {
      for (let n = 0; n < CALLS; n += 1) {
        const [rpc, request] = calls[n % calls.length] ?? assert.fail();
        const end = await callByName(daemon.get().stranger, rpc, request).then(
          (answer) => {
            assert.ok(!JSON.stringify(answer).includes('precious'), rpc);
            return 'OK';
          },
          (error: unknown) =>
            error instanceof CallError && FINE.includes(error.reason) ? error.reason : `${rpc}: ${String(error)}`,
        );
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    } finally {
      swapper.stdin.end();
      await closed;
    }
    assert.equal(swapper.exitCode, 0);
    assert.deepEqual((await readdir(outside, { recursive: true })).toSorted(), before);
    const odd = [...ends.keys()].filter((end) => !FINE.includes(end));
    assert.deepEqual(odd, [], JSON.stringify([...ends]));
    for (const seen of ['OK', 'PATH_OUTSIDE_ROOTS']) assert.ok(ends.has(seen), JSON.stringify([...ends]));
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
});
