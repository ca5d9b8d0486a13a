/**
 * The power goes in the middle of work: what was acknowledged is there, images that have their name are whole, and the next start
 * finds its journal. Between two syncs a disk may have written all, nothing, or any part of what came.
 */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/disks.js';
import { PowerDisk, type Keep } from '../support/power-disk.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { randomNumbers } from '../support/soak.js';
import { CallError, type Message } from '../support/stranger.js';

const MIB = 1 << 20;
const CUTS = Number(process.env['POWER_CUTS'] ?? 200);
const SEED = Number(process.env['SEED'] ?? 1);
const CUTS_A_ROUND = 8;
const WORKERS = 4;
const KEEPS: readonly Keep[] = ['none', 'some', 'all', 'some'];

/** What a path may hold. */
type Content =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'raw' | 'qcow2'; readonly fixture: string }
  | { readonly kind: 'size'; readonly bytes: number };

/** The contents that a path had one after the other; all before `acked` are gone, those behind it may or may not have come. */
interface History {
  readonly contents: Content[];
  acked: number;
}

interface Snapshot {
  /** By path, what it may hold after the cut. */
  readonly allowed: ReadonlyMap<string, readonly Content[]>;
  /** Operations whose success was acknowledged before the cut, the last ones. */
  readonly succeeded: readonly string[];
}

describe('power cuts', () => {
  const scratch = scratchFolder();
  const random = randomNumbers(SEED);
  const histories = new Map<string, History>();
  const succeeded: string[] = [];
  let disk: PowerDisk;
  let daemon: Daemon;
  let next = 0;
  let isOver = false;

  before(async function () {
    disk = await PowerDisk.start(this, scratch, 512 * MIB);
    await sh('mkdir', disk.path + '/images');
    for (const name of ['a', 'b']) await writeFile(scratch.path(name), noise(2 * MIB));
  });

  const image = (name: string) => `${disk.path}/images/${name}`;
  const start = async (folder: string): Promise<Daemon> =>
    Daemon.start(scratch.path(folder), {
      roots: [`[[roots]]\npath = "${disk.path}/images"`, `[[roots]]\npath = "${scratch.path('fixtures')}"\n`].join(
        '\n',
      ),
      stateFolder: `${disk.path}/state`,
    });

  /** One change of a path: its content is the new one once that is acknowledged, and may be from now on. */
  const change = async (path: string, content: Content, rpc: string, request: Message): Promise<void> => {
    const history = histories.get(path) ?? { contents: [{ kind: 'nothing' }], acked: 0 };
    histories.set(path, history);
    history.contents.push(content);
    const events = await daemon.stranger.all(rpc, { ...request, request_id: `r${String(next++)}` });
    history.acked = history.contents.length - 1;
    succeeded.push((events.at(-1) as { operation_id: string }).operation_id);
  };
  const write = async (path: string, text: string): Promise<void> => {
    const history = histories.get(path) ?? { contents: [{ kind: 'nothing' }], acked: 0 };
    histories.set(path, history);
    history.contents.push({ kind: 'text', text });
    await daemon.stranger.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.from(text) }]);
    history.acked = history.contents.length - 1;
  };
  /** A path of its own through its life. */
  const life = async (): Promise<void> => {
    const number = String(next++);
    const fixture = scratch.path(`fixtures/${random() < 0.5 ? 'a' : 'b'}`);
    const path = image(`i${number}`);
    const remove = () => change(path, { kind: 'nothing' }, 'ImageService/DeleteImage', { path });
    switch (Math.floor(random() * 4)) {
      case 0:
        await change(path, { kind: 'raw', fixture }, 'ImageService/CopyImage', { source: fixture, target: path });
        return remove();
      case 1: {
        const request = { source: fixture, source_format: 'raw', target: path, target_format: 'qcow2' };
        await change(path, { kind: 'qcow2', fixture }, 'ImageService/ConvertImage', request);
        const other = scratch.path('fixtures/a');
        await change(path, { kind: 'qcow2', fixture: other }, 'ImageService/ConvertImage', {
          ...request,
          source: other,
          overwrite: true,
        });
        return remove();
      }
      case 2:
        for (const [index, bytes] of [8 * MIB, 16 * MIB, 24 * MIB].entries()) {
          const request = { path, format: 'qcow2', size_bytes: String(bytes) };
          await change(
            path,
            { kind: 'size', bytes },
            `ImageService/${index === 0 ? 'Create' : 'Resize'}Image`,
            request,
          );
        }
        return remove();
      default:
        for (let n = 0; n < 4; n++)
          await write(path, `${number} ${String(n)} `.repeat(1 + Math.floor(random() * 2000)));
        return remove();
    }
  };
  const work = async (): Promise<void> => {
    while (!isOver)
      await life().catch((error: unknown) => {
        // Killed under it: what was under way may have come or not.
        if (isOver && error instanceof CallError) return;
        throw error;
      });
  };
  /** What was acknowledged before the cut must be there; what came meanwhile, or was under way, may be. */
  const cut = async (file: string, keep: Keep): Promise<Snapshot> => {
    const ids = succeeded.slice(-20);
    const acked = new Map([...histories].map(([path, history]) => [path, history.acked]));
    await disk.cut(file, keep, Math.floor(random() * 1e9));
    const possible = [...histories].map(
      ([path, { contents }]) => [path, contents.slice(acked.get(path) ?? 0)] as const,
    );
    return { allowed: new Map(possible), succeeded: ids };
  };

  const holds = async (path: string, content: Content): Promise<boolean> => {
    const found = await stat(path).catch(() => undefined);
    if (content.kind === 'nothing' || found === undefined) return content.kind === 'nothing' && found === undefined;
    switch (content.kind) {
      case 'text':
        return (await readFile(path, 'latin1')) === content.text;
      case 'raw':
        return (await readFile(path)).equals(await readFile(content.fixture));
      case 'qcow2':
        return (
          (await tryRun('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', path, content.fixture])).code === 0
        );
      case 'size': {
        const { code, stdout } = await tryRun('qemu-img', ['info', '-f', 'qcow2', '--output=json', path]);
        return code === 0 && (JSON.parse(stdout) as { 'virtual-size': number })['virtual-size'] === content.bytes;
      }
    }
  };
  const holdsOneOf = async (path: string, contents: readonly Content[]): Promise<boolean> => {
    for (const content of contents) if (await holds(path, content)) return true;
    return false;
  };
  /** Starts a daemon on what a cut left and looks at everything. */
  const check = async (file: string, { allowed, succeeded: ids }: Snapshot, title: string): Promise<void> => {
    await disk.mount(file);
    const restarted = await start('after');
    try {
      const errors = restarted.records().filter(({ level }) => level === 'error');
      assert.deepEqual(errors, [], title);
      for (const [path, contents] of allowed)
        assert.ok(await holdsOneOf(path, contents), `${title}: ${path} holds none of ${JSON.stringify(contents)}`);
      for (const operation_id of ids) {
        const { operation } = await restarted.stranger.unary('OperationService/GetOperation', { operation_id });
        assert.equal(((operation as Message)['last'] as Message)['state'], 'OPERATION_STATE_SUCCEEDED', title);
      }
      assert.deepEqual(await restarted.leftovers(`${disk.path}/images`), [], title);
    } finally {
      restarted.stranger.close();
      restarted.process.kill('SIGKILL');
      await restarted.exited;
      await sh('umount', disk.path);
      await rm(file);
    }
  };
  /** Paths whose fate is decided are forgotten; the others begin with what they hold now. */
  const settle = async (): Promise<void> => {
    for (const [path, { contents, acked }] of histories) {
      const possible = contents.slice(acked);
      const states = await Promise.all(possible.map((content) => holds(path, content)));
      const now = possible[states.indexOf(true)];
      assert.ok(now !== undefined, `${path} holds none of ${JSON.stringify(possible)}`);
      histories.delete(path);
      if (now.kind !== 'nothing') await rm(path);
    }
  };

  it(`${String(CUTS)} cuts: nothing that was acknowledged is lost, nothing half-made has a name`, async () => {
    await sh('mkdir', '-p', scratch.path('fixtures'));
    for (const name of ['a', 'b']) await sh('cp', scratch.path(name), scratch.path(`fixtures/${name}`));
    let [cuts, operations] = [0, 0];
    while (cuts < CUTS) {
      isOver = false;
      daemon = await start('at-work');
      const workers = Array.from({ length: WORKERS }, work);
      const taken: [string, Snapshot, string][] = [];
      for (let n = 0; n < Math.min(CUTS_A_ROUND, CUTS - cuts); n++) {
        await sleep(random() * 300);
        const keep = KEEPS[n % KEEPS.length] ?? 'none';
        const file = scratch.path(`cut-${String(n)}`);
        taken.push([
          file,
          await cut(file, keep),
          `cut ${String(cuts + n)} (seed ${String(SEED)}), ${keep} of the unsynced kept`,
        ]);
      }
      isOver = true;
      daemon.process.kill('SIGKILL');
      daemon.stranger.close();
      await daemon.exited;
      await Promise.all(workers);
      operations += succeeded.length;
      await sh('umount', disk.path);
      for (const [file, snapshot, title] of taken) await check(file, snapshot, title);
      cuts += taken.length;
      succeeded.length = 0;
      await disk.mount();
      const settled = await start('settled');
      await settled.stop();
      await settle();
    }
    process.stdout.write(`      ${String(cuts)} cuts in ${String(operations)} operations\n`);
  }).timeout(40 * 60_000);
});
