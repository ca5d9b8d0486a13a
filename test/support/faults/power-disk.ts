/** A filesystem on a disk whose power can be cut in the middle of work, and what it holds then. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { ROOT_FOLDER } from '../daemon.js';
import { isRoot, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { sh, tryRun } from '../shell.js';
import { until } from '../until.js';

const PYTHON = join(ROOT_FOLDER, '.cache/python/bin/python');
const PROGRAM = join(ROOT_FOLDER, 'test/support/faults/power_disk.py');

/** What of the writes that were not synced is there after a cut. */
export type Keep = 'all' | 'none' | 'some';

export class PowerDisk {
  private constructor(
    /** Where its filesystem is mounted. */
    readonly path: string,
    private readonly device: string,
    private readonly server: ChildProcess,
    private readonly answers: Interface,
  ) {}

  /** Makes a filesystem of so many bytes and mounts it until the suite ends, or skips. */
  static async start(context: Mocha.Context, scratch: Scratch, bytes: number): Promise<PowerDisk> {
    needs(context, isRoot && existsSync('/dev/fuse'), 'needs root and /dev/fuse');
    needs(context, existsSync('/dev/loop-control'), 'needs loop devices');
    const library = await tryRun(PYTHON, ['-c', 'import fuse']).catch(() => undefined);
    needs(context, library?.code === 0, 'fusepy (scripts/test-clients.sh) or libfuse2 is not installed');
    const [device, path] = [scratch.path('power'), scratch.path('mnt')];
    await mkdir(device);
    await mkdir(path);
    const words = [PROGRAM, device, scratch.path('durable'), String(bytes)];
    const server = spawn(PYTHON, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = createInterface(server.stdout);
    await once(answers, 'line');
    scratch.onEnd(async () => {
      const exited = once(server, 'exit');
      server.stdin.end();
      await exited;
    });
    const disk = new PowerDisk(path, join(device, 'disk'), server, answers);
    // No discards: the disk knows none.
    await sh('mkfs.ext4', '-q', '-F', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0', disk.device);
    await disk.mount();
    scratch.onEnd(() => disk.unmount());
    return disk;
  }

  /** Mounts the disk itself, or what a cut left, at the same place. */
  async mount(file: string = this.device): Promise<void> {
    await sh('mount', '-o', 'loop', file, this.path);
  }

  /**
   * A tool that dies with its daemon, or its sandbox, may use the disk a moment longer than the
   * daemon. Until it is gone the mount is busy; then its loop device is.
   */
  async unmount(): Promise<void> {
    const { stdout } = await tryRun('findmnt', ['--noheadings', '--output', 'SOURCE', this.path]);
    const device = stdout.trim();
    if (device === '') return;
    await until(async () => (await tryRun('umount', [this.path])).code === 0);
    await until(async () => (await tryRun('losetup', [device])).code !== 0);
  }

  /** What the disk would hold if its power went now, in a file; how many blocks were not synced. */
  async cut(file: string, keep: Keep, seed: number): Promise<number> {
    const answer = once(this.answers, 'line');
    this.server.stdin?.write(`${JSON.stringify({ cut: file, keep, seed })}\n`);
    const [line] = (await answer) as [string];
    return (JSON.parse(line) as { unsynced: number }).unsynced;
  }
}
