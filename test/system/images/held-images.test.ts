/**
 * A process has an image open for writing: every RPC that promises so refuses it, also when the
 * process comes later.
 */
import assert from 'node:assert/strict';
import { link, mkdir, rm, stat } from 'node:fs/promises';
import { readFileSync, statSync } from 'node:fs';
import { Daemon } from '../../support/daemon.js';
import { requestOf } from '../../support/descriptors.js';
import { whileHeld, whileRun } from '../../support/processes.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { promises } from '../../support/reasons/promised.js';
import { WORK, isOfQcow2, requestFor } from '../../support/reasons/work.js';
import { sh } from '../../support/shell.js';
import { RPCS, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

/** What differs from the request of `work.ts`, and the step at which a writer comes. */
interface Exception {
  readonly request?: (held: string) => Message;
  /** `none`: another test has the writer come later. */
  readonly middle?: string;
  /** Of the image that is held. */
  readonly format?: 'raw';
}

/** Where a verb is when the writer comes: it has looked, and has not changed anything yet. */
function middleOf(name: string): string {
  const { reads, changes } = WORK[name] ?? {};
  if (changes !== undefined) return 'touch';
  return reads === undefined ? 'commit' : 'seal';
}

describe('an image that a process has open for writing', function () {
  this.timeout(60_000);
  const scratch = scratchFolder();
  const at = (name: string) => scratch.path('daemon/images', name);
  const exceptions: Readonly<Record<string, Exception>> = {
    FetchImage: {
      request: (held) => ({ source: { file: { path: at('other.qcow2') } }, target: held, overwrite: true }),
      middle: 'commit',
      format: 'raw',
    },
    RebaseImage: { request: (held) => ({ path: at('overlay.qcow2'), backing_file: held, backing_format: 'qcow2' }) },
    CommitImage: { request: () => ({ path: at('above.qcow2') }) },
    ExtractSnapshot: { middle: 'commit' },
    CheckImage: { middle: 'check' },
    DigestImage: { middle: 'digest' },
    CompareImages: { middle: 'compare' },
    OpenExport: { middle: 'serve' },
    DeleteImage: { middle: 'commit' },
    DeleteFile: { middle: 'commit' },
    StartUpload: { middle: 'none' },
    DownloadImage: { middle: 'none' },
    WriteFile: { middle: 'none' },
    RemoveDirectory: { request: () => ({ path: at('folder') }), middle: 'prepare' },
    MoveFile: { middle: 'commit' },
  };
  /**
   * What is in use there is no image of the caller's: an entry of the cache that has overlays. See
   * cache.test.ts.
   */
  const elsewhere = ['ImageService/EvictCachedImages', 'ImageService/CloseExport'];
  const has = (rpc: string, field: string) => requestOf(rpc).fields.some(({ name }) => name === field);
  const promising = promises().flatMap(({ rpc, reasons }) => (reasons?.includes('IMAGE_IN_USE') ? [rpc] : []));
  const rows = RPCS.filter(({ rpc }) => promising.includes(nameOf(rpc)) || has(rpc, 'allow_in_use'))
    .filter(({ rpc }) => !elsewhere.includes(rpc))
    .map(({ rpc }) => ({
      ...{ rpc, name: nameOf(rpc), format: isOfQcow2(nameOf(rpc)) ? 'qcow2' : 'raw', middle: middleOf(nameOf(rpc)) },
      ...exceptions[nameOf(rpc)],
    }));
  type Row = (typeof rows)[number];
  const heldBy = ({ format }: Pick<Row, 'format'>) => at(`held.${format}`);

  /** A good request for the image that is held. */
  function requestWith({ rpc, name, request, ...row }: Row): Message {
    const { reads, changes, makes } = WORK[name] ?? assert.fail(`test/support/reasons/work.ts has no row for ${name}`);
    const held = heldBy(row);
    const onlyMakes = makes !== undefined && reads === undefined && changes === undefined;
    const addresses = { reads: held, changes: held, makes: onlyMakes ? held : at('new'), other: at('other.raw') };
    const losing = { allow_dependants: true, ...(onlyMakes ? { overwrite: true } : {}) };
    const more = Object.fromEntries(Object.entries(losing).filter(([field]) => has(rpc, field)));
    return requestFor(name, addresses, { ...more, ...request?.(held) });
  }

  let daemon: Daemon;
  let running: Daemon | undefined;
  const start = async (failpoints: readonly string[] = []) => {
    running = daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `[exports]\nhost = "here"\naddress = "127.0.0.1"\nports = "26530-26549"\n[debug]\nfailpoints = ${JSON.stringify(failpoints)}\n`,
    });
  };
  const stop = async () => {
    running?.process.kill('SIGKILL');
    await running?.exited;
    running?.stranger.close();
  };
  before(async () => {
    await start();
    for (const name of ['held.raw', 'other.raw']) await sh('qemu-img', 'create', '-q', '-f', 'raw', at(name), '8M');
    await mkdir(at('folder'));
    await link(at('held.raw'), at('folder/held.raw'));
    for (const name of ['held', 'other', 'overlay-base']) {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at(`${name}.qcow2`), '8M');
      await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 0 1M', at(`${name}.qcow2`));
    }
    await sh('qemu-img', 'snapshot', '-c', 'one', at('held.qcow2'));
    for (const [name, base] of [
      ['overlay', 'overlay-base'],
      ['above', 'held'],
    ] as const)
      await sh(
        ...['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', at(`${base}.qcow2`)],
        at(`${name}.qcow2`),
      );
  });
  scratch.onEnd(stop);

  const call = async (rpc: string, request: Message): Promise<unknown> => {
    const found = RPCS.find((each) => each.rpc === rpc) ?? assert.fail(`no ${rpc}`);
    if (found.requestStream) return daemon.stranger.send(rpc, [request]);
    return found.responseStream ? daemon.stranger.all(rpc, request) : daemon.stranger.unary(rpc, request);
  };
  /** qemu-io keeps the image open for as long as its standard input is. */
  const whileWritten = (path: string, format: string, work: () => Promise<void>) =>
    whileRun(['qemu-io', '-f', format, path], () => isLocked(path), work);

  for (const row of rows)
    it(`from before: ${row.rpc} fails with IMAGE_IN_USE, and works with allow_in_use if it has that`, async function () {
      await needsSandbox.call(this);
      const request = requestWith(row);
      await whileHeld(
        heldBy(row),
        scratch.path(`${row.name}.sock`),
        async () => {
          const before = await stat(heldBy(row));
          assert.equal((await failure(call(row.rpc, request))).reason, 'IMAGE_IN_USE');
          assert.deepEqual((await stat(heldBy(row))).mtimeMs, before.mtimeMs, 'it wrote');
          assert.deepEqual(await daemon.leftovers(), []);
          // What DeleteImage would remove is needed.
          if (!has(row.rpc, 'allow_in_use') || row.name === 'DeleteImage') return;
          const answer = (await call(row.rpc, { ...request, allow_in_use: true })) as Message;
          if (row.name === 'OpenExport') await call('ImageService/CloseExport', { export_id: answer['export_id'] });
          await rm(at('new'), { force: true });
        },
        ['-f', row.format],
      );
    });

  it('most of those that work on images are here, and many can be told to go on', () => {
    assert.ok(rows.length >= 23, String(rows.length));
    assert.ok(rows.filter(({ rpc }) => has(rpc, 'allow_in_use')).length >= 7);
  });

  it('DownloadImage: a writer that comes while bytes are sent', async () => {
    const stream = daemon.stranger.stream('ImageService/DownloadImage', { path: at('held.raw') });
    const ended = new Promise((resolve) => stream.once('error', resolve).once('end', () => resolve(undefined)));
    stream.pause();
    await whileWritten(at('held.raw'), 'raw', async () => {
      stream.on('data', () => undefined);
      stream.resume();
      assert.match(String(await ended), /open for writing|is held/);
    });
  });

  it('CloseExport: a writer that came while it was open', async () => {
    const opened = await daemon.stranger.unary('ImageService/OpenExport', { path: at('held.raw'), peer: 'peer' });
    await whileWritten(at('held.raw'), 'raw', async () => {
      const close = daemon.stranger.unary('ImageService/CloseExport', { export_id: opened['export_id'] });
      assert.equal((await failure(close)).reason, 'IMAGE_IN_USE');
    });
  });

  describe('that comes in the middle', () => {
    const pausing = rows.filter(({ middle }) => middle !== 'none');
    before(async () => {
      await stop();
      await start(pausing.map(({ name, middle }) => `${name}:${middle}:pause`));
    });

    for (const row of pausing) {
      const { rpc, name, middle, format } = row;
      it(`${rpc}, at the step ${middle}`, async function () {
        if (rpc.includes('Fetch')) await needsSandbox.call(this);
        const answer = failure(call(rpc, requestWith(row)));
        const paused = until(() =>
          Promise.resolve(daemon.records().some((line) => line['message'] === 'paused' && line['method'] === name)),
        );
        const early = answer.then(({ message }) => assert.fail(`it ended before the step: ${message}`));
        await Promise.race([paused, early]);
        await whileWritten(heldBy(row), format, async () => {
          daemon.process.kill('SIGUSR2');
          assert.equal((await answer).reason, 'IMAGE_IN_USE');
        });
        assert.deepEqual(await daemon.leftovers(), []);
      });
    }
  });
});

/** `ImageService/WipeImage` -> `WipeImage`. */
function nameOf(rpc: string): string {
  return rpc.replace(/.*\//, '');
}

/** Whether qemu's lock of a writer is on the file. */
function isLocked(path: string): boolean {
  const inode = String(statSync(path).ino);
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .some(
      (line) => line.includes('OFDLCK') && new RegExp(`:${inode} (?:100 101|101 101|100 103|101 10\\d) ?$`).test(line),
    );
}
