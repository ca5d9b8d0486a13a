/** A daemon whose root lies on a disk with faults, for a whole suite. */
import { mkdir } from 'node:fs/promises';
import { Daemon } from '../daemon.js';
import { fillStock, serveStock, type Bench } from './fault-cases.js';
import { FaultFilesystem } from './fault-filesystem.js';
import { scratchFolder } from '../scratch.js';

/** Call inside describe(). */
export function faultBench({ rootPatienceMs = 5000 } = {}): Bench {
  const scratch = scratchFolder();
  let made: { daemon: Daemon; disk: FaultFilesystem; url: string } | undefined;
  const get = () => {
    if (made === undefined) throw new Error('before() has not run');
    return made;
  };
  before(async function () {
    const disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    await mkdir(scratch.path('stock'));
    await fillStock(scratch.path('stock'));
    const { url, server } = await serveStock(scratch.path('stock'));
    scratch.onEnd(() => Promise.resolve(server.close()));
    const daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `[limits]\nroot_patience_ms = ${String(rootPatienceMs)}\ntool_kill_grace_ms = 100\n[fetch]\nallowed_networks = ["127.0.0.0/8"]\nattempts = 1\n`,
      roots: [disk.path, scratch.path('daemon/images')].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
    scratch.onEnd(() => daemon.stop());
    made = { daemon, disk, url };
  });
  return {
    daemon: () => get().daemon,
    disk: () => get().disk,
    url: () => get().url,
    stock: () => scratch.path('stock'),
  };
}
