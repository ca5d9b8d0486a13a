/** A filesystem that fails, or hangs, where a test says so: a folder seen through FUSE. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT_FOLDER } from '../daemon.js';
import { isRoot, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { sh, tryRun } from '../shell.js';

const PYTHON = join(ROOT_FOLDER, '.cache/python/bin/python');
const PROGRAM = join(ROOT_FOLDER, 'test/support/faults/fault_filesystem.py');

/**
 * System calls by the names that FUSE gives them; `create` makes a file, `open` opens one that
 * there is.
 */
export type CallKind =
  | 'getattr'
  | 'readlink'
  | 'readdir'
  | 'mkdir'
  | 'rmdir'
  | 'unlink'
  | 'symlink'
  | 'rename'
  | 'link'
  | 'chmod'
  | 'chown'
  | 'truncate'
  | 'utimens'
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'fallocate'
  | 'flush'
  | 'fsync'
  | 'fsyncdir'
  | 'statfs';

export interface Fault {
  readonly kinds: readonly CallKind[];
  /** A name of node:os, or a number where that has no name (EDQUOT 122). Not used when it hangs. */
  readonly errno?: keyof typeof constants.errno | number;
  /** The first call that fails, among those that match; unset: the first. */
  readonly nth?: number;
  /** How many calls fail; 0: all from the nth on; unset: one. */
  readonly times?: number;
  /** Only calls on paths that contain this; paths begin with `/` at the mount point. */
  readonly match?: string;
  /** The call does its work all the same. */
  readonly after?: boolean;
  /** Does not answer until the faults are replaced. */
  readonly hang?: boolean;
}

/** Calls since the faults were set, such as `write /a/b`. */
export interface Seen {
  readonly calls: readonly string[];
  readonly failed: readonly string[];
}

export class FaultFilesystem {
  #answers: ((line: string) => void)[] = [];

  private constructor(
    /** Where it is mounted. */
    readonly path: string,
    /** The same files, without faults. */
    readonly behind: string,
    private readonly server: ChildProcess,
  ) {}

  /** Mounts one at a new folder until the suite ends, or skips. */
  static async mount(context: Mocha.Context, scratch: Scratch, path: string): Promise<FaultFilesystem> {
    needs(context, isRoot && existsSync('/dev/fuse'), 'needs root and /dev/fuse');
    const library = await tryRun(PYTHON, ['-c', 'import fuse']).catch(() => undefined);
    needs(context, library?.code === 0, 'fusepy (scripts/test-clients.sh) or libfuse2 is not installed');
    const behind = `${path}.behind`;
    await mkdir(path, { recursive: true });
    await mkdir(behind, { recursive: true });
    const filesystem = await FaultFilesystem.#serve(path, behind);
    scratch.onEnd(() => filesystem.unmount());
    return filesystem;
  }

  static async #serve(path: string, behind: string): Promise<FaultFilesystem> {
    const server = spawn(PYTHON, [PROGRAM, behind, path, 'hostlertest'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const filesystem = new FaultFilesystem(path, behind, server);
    const ready = new Promise<string>((resolve, reject) => {
      filesystem.#answers.push(resolve);
      server.once('exit', (code) => {
        reject(new Error(`the filesystem with faults ended with ${String(code)}`));
      });
    });
    createInterface(server.stdout).on('line', (line) => filesystem.#answers.shift()?.(line));
    await ready;
    // The answer comes from within the mount; the kernel has it when it can be asked.
    await sh('stat', '-f', path);
    return filesystem;
  }

  /** Counts anew; what hangs is released. */
  async fail(...faults: readonly Fault[]): Promise<void> {
    await this.#ask({ faults: faults.map(({ errno = 'EIO', ...rest }) => ({ ...rest, errno: numberOf(errno) })) });
  }

  /** No more faults. */
  heal(): Promise<void> {
    return this.fail();
  }

  async seen(): Promise<Seen> {
    return JSON.parse(await this.#ask({ ask: 'seen' })) as Seen;
  }

  /** Ends its server as a crash would: the mount stays, and answers ENOTCONN. */
  async die(): Promise<void> {
    const exited = new Promise((resolve) => this.server.once('exit', resolve));
    this.server.kill('SIGKILL');
    await exited;
  }

  async unmount(): Promise<void> {
    if (this.server.exitCode !== null || this.server.signalCode !== null) await tryRun('umount', ['-l', this.path]);
    else {
      const exited = new Promise((resolve) => this.server.once('exit', resolve));
      this.server.stdin?.end();
      await exited;
    }
  }

  #ask(message: object): Promise<string> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.server.stdin?.write(`${JSON.stringify(message)}\n`);
    });
  }
}

function numberOf(errno: NonNullable<Fault['errno']>): number {
  return typeof errno === 'number' ? errno : constants.errno[errno];
}
