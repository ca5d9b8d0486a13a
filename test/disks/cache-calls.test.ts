/** Each system call below the cache's folder fails once, or does not come back. */
import { mkdir } from 'node:fs/promises';
import { cacheCases } from '../support/faults/cache-fault-cases.js';
import { Daemon } from '../support/daemon.js';
import { fillStock, serveStock } from '../support/faults/fault-cases.js';
import { FaultFilesystem } from '../support/faults/fault-filesystem.js';
import { hangUnder } from '../support/faults/hanging-call.js';
import { CHANGING, LOOKING, failEachCall } from '../support/faults/nth-call.js';
import { scratchFolder } from '../support/scratch.js';

describe("the n-th call of the cache's disk fails", () => {
  const scratch = scratchFolder();
  let [made, disk, url]: [Daemon?, FaultFilesystem?, string?] = [];
  const get = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('before() has not run');
    return value;
  };
  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('daemon/cache'));
    await mkdir(scratch.path('stock'));
    await fillStock(scratch.path('stock'));
    const served = await serveStock(scratch.path('stock'));
    scratch.onEnd(() => Promise.resolve(served.server.close()));
    ({ url } = served);
    // The cache lies in a root, so that images can be backed by what is in it.
    const roots = ['daemon/images', 'daemon'].map((path) => `[[roots]]\npath = "${scratch.path(path)}"\n`).join('');
    const daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `[limits]\nroot_patience_ms = 300\n[fetch]\nallowed_networks = ["127.0.0.0/8"]\nattempts = 1\n[cache]\npath = "${disk.path}"\n`,
      stateFolder: scratch.path('state'),
      roots,
    });
    scratch.onEnd(() => daemon.stop());
    made = daemon;
  });
  const bench = {
    daemon: () => get(made),
    disk: () => get(disk),
    url: () => get(url),
    stock: () => scratch.path('stock'),
  };
  for (const each of cacheCases(bench)) {
    it(`${each.name}: each third call that changes something, EIO`, () =>
      failEachCall(bench.disk(), each, { kinds: CHANGING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 3 }));
    it(`${each.name}: each eleventh call that looks, ESTALE`, () =>
      failEachCall(bench.disk(), each, {
        kinds: LOOKING,
        errno: 'ESTALE',
        reasons: ['ROOT_UNAVAILABLE', 'DEPENDANTS_UNKNOWN'],
        stride: 11,
      }));
    it(`${each.name}: each 13th call that changes something, ENOSPC`, () =>
      failEachCall(bench.disk(), each, { kinds: CHANGING, errno: 'ENOSPC', reasons: ['NO_SPACE'], stride: 13 }));
    for (const part of [0.3, 0.8])
      it(`${each.name}: it stops answering after ${String(part)} of the calls`, () =>
        hangUnder(each, { daemon: bench.daemon(), disk: bench.disk(), part }));
  }
});
