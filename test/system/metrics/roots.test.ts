/** Figures of roots, also of one that does not answer, and of many. */
import assert from 'node:assert/strict';
import { mkdir, rename } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import type { Exposition } from '../../support/metrics/exposition.js';
import { scrapedUntil } from '../../support/metrics/scraped-until.js';
import { scratchFolder } from '../../support/scratch.js';

const FIGURES = ['size', 'free', 'reserved', 'overcommitted'].map((what) => `hostler_root_${what}_bytes`);
const MANY = 100;

describe('the metrics of roots', () => {
  const scratch = scratchFolder();
  const table = (paths: readonly string[]) => paths.map((path) => `[[roots]]\npath = "${path}"\n`).join('');

  it('a root that does not answer is stalled, and its figures are those of before', async function () {
    const [near, far] = [scratch.path('stalled', 'images'), scratch.path('far')];
    const server = await mountSshfs(this, scratch, far);
    const daemon = await Daemon.start(scratch.path('stalled'), {
      http: '127.0.0.1:0',
      toml: '[limits]\nroot_patience_ms = 1000\n',
      roots: table([near, far]),
    });
    scratch.onEnd(() => daemon.stop());
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
    const of = (now: Exposition, root: string) => FIGURES.map((name) => now.value(name, { root }));
    const isStalled = (now: Exposition) => now.value('hostler_root_stalled', { root: far }) === 1;
    const before = await scrapedUntil(daemon, (now) =>
      [near, far].every((root) => of(now, root).every((value) => value !== undefined)),
    );
    process.kill(server, 'SIGSTOP');
    const stalled = await scrapedUntil(daemon, isStalled);
    assert.equal(stalled.value('hostler_root_stalled', { root: near }), 0);
    assert.deepEqual(of(stalled, far), of(before, far));
    process.kill(server, 'SIGCONT');
    await scrapedUntil(daemon, (now) => !isStalled(now));
  });

  // The main thread of a daemon under test is watched: nothing may hold it for 50 ms.
  it(`${String(MANY)} roots have figures, and no scrape holds up the daemon`, async () => {
    const paths = Array.from({ length: MANY }, (_, n) => scratch.path('many', `root-${String(n)}`));
    await Promise.all(paths.map((path) => mkdir(path, { recursive: true })));
    const daemon = await Daemon.start(scratch.path('many'), { http: '127.0.0.1:0', roots: table(paths) });
    scratch.onEnd(() => daemon.stop());
    const now = await scrapedUntil(daemon, (each) => FIGURES.every((name) => each.all(name).length === MANY));
    assert.ok(now.all('hostler_root_free_bytes').every(({ value }) => value > 0));
  });

  it('a root that is gone is unavailable', async () => {
    const root = scratch.path('gone', 'root');
    await mkdir(root, { recursive: true });
    const daemon = await Daemon.start(scratch.path('gone'), { http: '127.0.0.1:0', roots: table([root]) });
    scratch.onEnd(() => daemon.stop());
    const is = (wanted: number) =>
      scrapedUntil(daemon, (now) => now.value('hostler_root_unavailable', { root }) === wanted);
    await is(0);
    await rename(root, `${root}-moved`);
    await is(1);
    await rename(`${root}-moved`, root);
    await is(0);
  });
});
