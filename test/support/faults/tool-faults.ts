/**
 * Verbs on a disk whose n-th call fails, whoever makes it: the daemon, or a tool in the middle of
 * its work.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertSound, guestContent, guestWrites } from '../images/chains.js';
import { Daemon } from '../daemon.js';
import { noise } from '../images/disks.js';
import { FaultFilesystem, type CallKind } from './fault-filesystem.js';
import { isOfQcow2, plainChanges, requestOn } from '../reasons/work.js';
import { scratchFolder } from '../scratch.js';
import { sh } from '../shell.js';
import { CallError, type Message } from '../stranger.js';

/** More calls of a kind than any of these verbs makes. */
const MANY = 200;
/** What a disk that answers EIO is to the caller. */
const TRUE_REASON = 'IO_ERROR';

interface Trial {
  readonly rpc: string;
  readonly request: (at: (name: string) => string) => Message;
  /** The image that is changed or made. */
  readonly written: string;
  /**
   * What guests see of it; after a failure it is as before or as after. Unset: nothing of it may be
   * there.
   */
  readonly kept?: (path: string) => Promise<string>;
  /**
   * After these calls have failed the tables may contradict each other until the same call
   * succeeds.
   */
  readonly unsoundAfter?: readonly CallKind[];
  /**
   * What the same call answers when the disk failed after the work was done, and could not be asked
   * then.
   */
  readonly again?: string;
  /** What a success has to have done. */
  readonly done: (path: string) => Promise<string>;
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Content, and the name and content of each snapshot. */
async function allContent(path: string): Promise<string> {
  const { snapshots = [] } = JSON.parse(await sh('qemu-img', 'info', '--output=json', '-f', 'qcow2', path)) as {
    snapshots?: { name: string }[];
  };
  const contents = [digest(await guestContent(path))];
  for (const { name } of snapshots) {
    const raw = `${path}.snapshot`;
    await sh('qemu-img', 'convert', '-f', 'qcow2', '-l', `snapshot.name=${name}`, '-O', 'raw', path, raw);
    contents.push(name, digest(await readFile(raw)));
    await rm(raw);
  }
  return contents.join(' ');
}

async function rawContent(path: string): Promise<string> {
  return digest(await readFile(path));
}

/** As large as it is, with what it holds. */
async function made(path: string): Promise<string> {
  await assertSound(path);
  return digest(await guestContent(path));
}

const overlay = (at: (name: string) => string) => ({ path: at('overlay.qcow2'), format: 'qcow2' });
const inPlace = { kept: allContent, done: allContent };

/** Trials of requests that `work.ts` does not have. */
const OTHER_TRIALS: Readonly<Record<string, Trial>> = {
  flatten: { rpc: 'RebaseImage', request: overlay, written: 'overlay.qcow2', ...inPlace },
  'rebase onto another base': {
    rpc: 'RebaseImage',
    request: (at) => ({ ...overlay(at), backing_file: at('other.qcow2'), backing_format: 'qcow2' }),
    written: 'overlay.qcow2',
    ...inPlace,
  },
  commit: {
    rpc: 'CommitImage',
    request: overlay,
    written: 'overlay.qcow2',
    kept: allContent,
    done: async (path) => `${await allContent(path)} ${await allContent(path.replace('overlay', 'base'))}`,
  },
  grow: {
    rpc: 'ResizeImage',
    request: (at) => ({ ...overlay(at), size: '16M', preallocation: 'PREALLOCATION_METADATA' }),
    written: 'overlay.qcow2',
    // qemu-img writes the tables first and then cannot make the file as long as they say; behind
    // its end are zeros.
    unsoundAfter: ['truncate'],
    ...inPlace,
  },
  shrink: {
    rpc: 'ResizeImage',
    request: (at) => ({
      path: at('base.qcow2'),
      format: 'qcow2',
      size: '6M',
      allow_shrink: true,
      allow_dependants: true,
    }),
    written: 'base.qcow2',
    ...inPlace,
  },
  repair: {
    rpc: 'CheckImage',
    request: (at) => ({ path: at('broken.qcow2'), format: 'qcow2', repair: 'REPAIR_MODE_ALL' }),
    written: 'broken.qcow2',
    kept: allContent,
    done: made,
  },
  'delete one of two snapshots': {
    ...{ rpc: 'DeleteSnapshot', written: 'two-snapshots.qcow2', ...inPlace, again: 'SNAPSHOT_NOT_FOUND' },
    request: (at) => ({ path: at('two-snapshots.qcow2'), format: 'qcow2', snapshot: 'one' }),
  },
  create: {
    rpc: 'CreateImage',
    request: (at) => ({ path: at('new'), format: 'qcow2', size: '8M', preallocation: 'PREALLOCATION_METADATA' }),
    written: 'new',
    done: made,
  },
  'make an overlay': {
    rpc: 'CreateOverlay',
    request: (at) => ({ path: at('new'), backing_file: at('base.qcow2'), backing_format: 'qcow2' }),
    written: 'new',
    done: made,
  },
  convert: {
    rpc: 'ConvertImage',
    request: (at) => ({
      ...{ source: at('overlay.qcow2'), source_format: 'qcow2' },
      ...{ target: at('new'), target_format: 'qcow2' },
    }),
    written: 'new',
    done: made,
  },
  'convert to raw': {
    rpc: 'ConvertImage',
    request: (at) => ({
      ...{ source: at('overlay.qcow2'), source_format: 'qcow2' },
      ...{ target: at('new'), target_format: 'raw' },
    }),
    written: 'new',
    done: rawContent,
  },
  copy: {
    rpc: 'CopyImage',
    request: (at) => ({ source: at('disk.raw'), target: at('new') }),
    written: 'new',
    done: rawContent,
  },
};

/** What differs from a change that keeps what guests see, and that can be repeated. */
const EXCEPTIONS: Readonly<Record<string, Partial<Trial>>> = {
  CreateSnapshot: { again: 'SNAPSHOT_EXISTS' },
  DeleteSnapshot: { again: 'SNAPSHOT_NOT_FOUND' },
  WipeImage: { kept: () => Promise.resolve('what is partly wiped is nobody’s') },
};

/** The good request of a change in place. */
function changeTrial(rpc: string): Trial {
  const [written, content] = isOfQcow2(rpc) ? ['snapshots.qcow2', allContent] : ['disk.raw', rawContent];
  const request = (at: (name: string) => string) => requestOn(rpc, at(written));
  return { rpc, request, written, kept: content, done: content, ...EXCEPTIONS[rpc] };
}

const TRIALS: Readonly<Record<string, Trial>> = {
  ...OTHER_TRIALS,
  ...Object.fromEntries(plainChanges().map((rpc) => [rpc, changeTrial(rpc)])),
};

/** Images whose tables have much to be written, and one whose refcounts are wrong. */
async function makeImages(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name);
  for (const name of ['base', 'other', 'snapshots', 'broken'])
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at(`${name}.qcow2`), '8M');
  await guestWrites(at('base.qcow2'), [{ pattern: 17, at: 0, length: 4 }]);
  await guestWrites(at('other.qcow2'), [{ pattern: 68, at: 3, length: 2 }]);
  await guestWrites(at('broken.qcow2'), [{ pattern: 51, at: 1, length: 2 }]);
  await guestWrites(at('snapshots.qcow2'), [{ pattern: 1, at: 0, length: 2 }]);
  await sh('qemu-img', 'snapshot', '-c', 'one', at('snapshots.qcow2'));
  await guestWrites(at('snapshots.qcow2'), [{ pattern: 2, at: 1, length: 2 }]);
  await copyFile(at('snapshots.qcow2'), at('two-snapshots.qcow2'));
  await sh('qemu-img', 'snapshot', '-c', 'two', at('two-snapshots.qcow2'));
  const name = ['-F', 'qcow2', '-b', at('base.qcow2'), at('overlay.qcow2')];
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...name);
  await guestWrites(at('overlay.qcow2'), [{ pattern: 34, at: 2, length: 1 }]);
  const bytes = await readFile(at('broken.qcow2'));
  const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
  // Too high, and too low.
  bytes.writeUInt16BE(2, block + 2 * 5);
  bytes.writeUInt16BE(0, block + 2 * 6);
  await writeFile(at('broken.qcow2'), bytes);
  await writeFile(at('disk.raw'), noise(3 << 20));
}

/**
 * A suite that has, for each verb, the n-th call of these kinds fail, for n = 1, 2, 3 … until the
 * verb passes.
 */
export function describeToolFaults(
  title: string,
  {
    kinds,
    trials = Object.keys(TRIALS),
    times = 1,
  }: {
    readonly kinds: readonly (readonly CallKind[])[];
    /** Unset: all. */
    readonly trials?: readonly string[];
    /** How many calls fail; 0: all from the n-th on. */
    readonly times?: number;
  },
): void {
  describe(title, function () {
    this.timeout(600_000);
    const scratch = scratchFolder();
    let disk: FaultFilesystem;
    let daemon: Daemon;
    const at = (name: string) => join(disk.path, name);
    const saved = (name: string) => scratch.path('saved', name);

    before(async function () {
      disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
      await makeImages(disk.path);
      await mkdir(scratch.path('saved'));
      for (const name of await readdir(disk.path)) await copyFile(at(name), saved(name));
      daemon = await Daemon.start(scratch.path('daemon'), { roots: `[[roots]]\npath = "${disk.path}"\n` });
      scratch.onEnd(() => daemon.stop());
    });
    afterEach(() => disk.heal());

    async function restore(): Promise<void> {
      for (const name of await readdir(disk.path)) await rm(at(name), { recursive: true });
      for (const name of await readdir(scratch.path('saved'))) await copyFile(saved(name), at(name));
    }

    const call = ({ rpc, request }: Trial) => daemon.stranger.operation(`ImageService/${rpc}`, request(at));

    /** The reason, or undefined of a success. */
    async function attempt(trial: Trial): Promise<string | undefined> {
      try {
        await call(trial);
        return undefined;
      } catch (error) {
        if (error instanceof CallError) return error.reason === '' ? error.message : error.reason;
        throw error;
      }
    }

    async function assertHarmless(
      trial: Trial,
      states: readonly string[],
      failed: readonly string[],
      what: string,
    ): Promise<void> {
      const names = (await readdir(disk.path)).sort();
      assert.deepEqual(names, (await readdir(scratch.path('saved'))).sort(), what);
      if (trial.kept === undefined) return;
      const now = await trial.kept(at(trial.written));
      assert.ok(states.includes(now), `${what}: neither old nor new, but ${now}\n${states.join('\n')}`);
      const excused = trial.unsoundAfter?.some((kind) => failed.some((call) => call.startsWith(kind))) === true;
      // On a disk that stays away nothing can be repaired: the same call does it.
      if (excused || times === 0 || trial.rpc === 'CheckImage' || !trial.written.endsWith('.qcow2')) return;
      await assertSound(at(trial.written));
    }

    for (const [name, trial] of Object.entries(TRIALS).filter(([each]) => trials.includes(each)))
      for (const some of kinds)
        it(`${name}: ${some.join(', ')}`, async () => {
          await restore();
          const before = await trial.kept?.(at(trial.written));
          await call(trial);
          const done = await trial.done(at(trial.written));
          const states = [before ?? '', (await trial.kept?.(at(trial.written))) ?? ''];
          for (let nth = 1; ; nth++) {
            assert.ok(nth < MANY, 'it never passes');
            await restore();
            await disk.fail({ kinds: some, errno: 'EIO', nth, times });
            const reason = await attempt(trial);
            const { failed } = await disk.seen();
            await disk.heal();
            const what = `${String(nth)}, ${failed.join(' ')}: ${reason ?? 'success'}`;
            if (reason !== undefined) {
              assert.equal(reason, TRUE_REASON, what);
              await assertHarmless(trial, states, failed, what);
              const second = await attempt(trial);
              assert.ok(
                second === undefined || (times === 0 && second === trial.again),
                `${what}, then ${String(second)}`,
              );
            }
            assert.equal(await trial.done(at(trial.written)), done, what);
            if (trial.written.endsWith('.qcow2')) await assertSound(at(trial.written));
            if (failed.length === 0) break;
          }
        });
  });
}
