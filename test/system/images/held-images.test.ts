/**
 * A process has an image open for writing: every RPC that promises so refuses it, also when the
 * process comes later.
 */
import assert from 'node:assert/strict';
import { rm, stat } from 'node:fs/promises';
import { readFileSync, statSync } from 'node:fs';
import { Daemon } from '../../support/daemon.js';
import { requestOf } from '../../support/descriptors.js';
import { whileHeld, whileRun } from '../../support/processes.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { promises } from '../../support/reasons/promised.js';
import { sh } from '../../support/shell.js';
import { RPCS, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1 << 20;

/**
 * How an RPC is asked about an image, and the step at which a writer comes that was not there
 * before.
 */
interface Row {
  readonly request: (held: string) => Message;
  /** Unset: another test has the writer come later. */
  readonly middle?: string;
  /** Format of the image that is held; unset: qcow2. */
  readonly format?: 'raw';
}

describe('an image that a process has open for writing', function () {
  this.timeout(60_000);
  const scratch = scratchFolder();
  const at = (name: string) => scratch.path('daemon/images', name);
  const qcow2 = (path: string) => ({ path, format: 'qcow2' });
  const onto = (held: string) => ({ target: held, overwrite: true, allow_dependants: true });
  const from = (held: string) => ({ source: held, target: at('new') });

  const rows: Readonly<Record<string, Row>> = {
    'ImageService/CreateImage': {
      request: (path) => ({ path, format: 'qcow2', size: '1M', overwrite: true, allow_dependants: true }),
      middle: 'commit',
    },
    'ImageService/CreateOverlay': {
      request: (held) => ({ path: at('new'), backing_file: held, backing_format: 'qcow2' }),
      middle: 'seal',
    },
    'ImageService/ConvertImage': {
      request: (held) => ({ ...from(held), source_format: 'qcow2', target_format: 'raw' }),
      middle: 'seal',
    },
    'ImageService/ExtractSnapshot': {
      request: (held) => ({ path: held, source_format: 'qcow2', target: at('new'), target_format: 'raw' }),
      middle: 'commit',
    },
    'ImageService/CopyImage': { request: from, middle: 'seal' },
    'ImageService/FetchImage': {
      request: (held) => ({
        source: { file: { path: at('other.qcow2') } },
        ...onto(held),
        target_format: 'raw',
        max_size_bytes: String(64 * MIB),
      }),
      middle: 'commit',
      format: 'raw',
    },
    'ImageService/FetchRawImage': {
      request: (held) => ({ source: { file: { path: held } }, target: at('new'), max_size_bytes: String(64 * MIB) }),
      middle: 'seal',
    },
    'ImageService/ResizeImage': { request: (path) => ({ ...qcow2(path), size: '16M' }), middle: 'touch' },
    'ImageService/RebaseImage': {
      request: (held) => ({ ...qcow2(at('overlay.qcow2')), backing_file: held, backing_format: 'qcow2' }),
      middle: 'touch',
    },
    'ImageService/CommitImage': { request: () => qcow2(at('above.qcow2')), middle: 'touch' },
    'ImageService/CheckImage': { request: qcow2, middle: 'check' },
    'ImageService/DigestImage': { request: (path) => ({ path }), middle: 'digest' },
    'ImageService/CompareImages': {
      request: (held) => ({ first: held, first_format: 'qcow2', second: at('other.qcow2'), second_format: 'qcow2' }),
      middle: 'compare',
    },
    'ImageService/WipeImage': { request: (path) => ({ path, mode: 'WIPE_MODE_ZERO' }), middle: 'touch', format: 'raw' },
    'ImageService/DeleteImage': { request: (path) => ({ path, allow_dependants: true }), middle: 'commit' },
    'ImageService/CreateSnapshot': { request: (path) => ({ ...qcow2(path), snapshot: 'two' }), middle: 'touch' },
    'ImageService/DeleteSnapshot': { request: (path) => ({ ...qcow2(path), snapshot: 'one' }), middle: 'touch' },
    'ImageService/RevertSnapshot': {
      request: (path) => ({ ...qcow2(path), snapshot: 'one', allow_dependants: true }),
      middle: 'touch',
    },
    'ImageService/StartUpload': {
      request: (held) => ({ ...onto(held), format: 'raw', length_bytes: '512' }),
    },
    'ImageService/DownloadImage': { request: (path) => ({ path }) },
    'ImageService/OpenExport': { request: (path) => ({ path, peer: 'peer' }), middle: 'serve' },
    'FileService/DeleteFile': { request: (path) => ({ path }), middle: 'commit', format: 'raw' },
    'FileService/WriteFile': { request: (path) => ({ header: { path } }), format: 'raw' },
  };
  /**
   * What is in use there is no image of the caller's: an entry of the cache that has overlays. See
   * cache.test.ts.
   */
  const elsewhere = ['ImageService/EvictCachedImages', 'ImageService/CloseExport'];

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
    await sh('qemu-img', 'create', '-q', '-f', 'raw', at('held.raw'), '8M');
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
  const heldBy = (row: Row) => at(row.format === 'raw' ? 'held.raw' : 'held.qcow2');
  /** qemu-io keeps the image open for as long as its standard input is. */
  const whileWritten = (path: string, format: string, work: () => Promise<void>) =>
    whileRun(['qemu-io', '-f', format, path], () => isLocked(path), work);

  const spoken = promises().filter(({ reasons }) => reasons?.includes('IMAGE_IN_USE'));
  for (const { rpc } of RPCS) {
    const promised =
      spoken.some((each) => each.rpc === rpc.split('/')[1]) ||
      requestOf(rpc).fields.some((field) => field.name === 'allow_in_use');
    if (promised || rpc in rows)
      it(`${rpc} has a row here, and promises IMAGE_IN_USE or has allow_in_use`, () => {
        assert.equal(rpc in rows || elsewhere.includes(rpc), promised);
      });
  }

  it('from before: IMAGE_IN_USE from each of them', async function () {
    await needsSandbox.call(this);
    for (const format of ['qcow2', 'raw'] as const)
      await whileHeld(
        at(`held.${format}`),
        scratch.path(`${format}.sock`),
        async () => {
          for (const [rpc, row] of Object.entries(rows)) {
            if ((row.format ?? 'qcow2') !== format) continue;
            const before = await stat(heldBy(row));
            assert.equal((await failure(call(rpc, row.request(heldBy(row))))).reason, 'IMAGE_IN_USE', rpc);
            assert.deepEqual((await stat(heldBy(row))).mtimeMs, before.mtimeMs, `${rpc} wrote`);
          }
        },
        ['-f', format],
      );
    assert.deepEqual(await daemon.leftovers(), []);
  });

  it('allow_in_use: they work where the request has it', async () => {
    const able = Object.entries(rows).filter(([rpc]) =>
      requestOf(rpc).fields.some(({ name }) => name === 'allow_in_use'),
    );
    assert.ok(able.length >= 7);
    await whileHeld(at('held.qcow2'), scratch.path('allowed.sock'), async () => {
      for (const [rpc, row] of able) {
        if (rpc === 'ImageService/DeleteImage') continue; // the image is needed
        await call(rpc, { ...row.request(heldBy(row)), allow_in_use: true });
        await rm(at('new'), { force: true });
      }
    });
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
    const paused = Object.entries(rows).flatMap(([rpc, row]) =>
      row.middle === undefined ? [] : [{ rpc, row, name: rpc.split('/')[1] ?? '', middle: row.middle }],
    );
    before(async () => {
      await stop();
      await start(paused.map(({ name, middle }) => `${name}:${middle}:pause`));
    });

    for (const { rpc, row, name, middle } of paused)
      it(`${rpc}, at the step ${middle}`, async function () {
        if (rpc.includes('Fetch')) await needsSandbox.call(this);
        const answer = failure(call(rpc, row.request(heldBy(row))));
        answer.catch(() => undefined); // heard below
        await until(() =>
          Promise.resolve(daemon.records().some((line) => line['message'] === 'paused' && line['method'] === name)),
        );
        await whileWritten(heldBy(row), row.format ?? 'qcow2', async () => {
          daemon.process.kill('SIGUSR2');
          assert.equal((await answer).reason, 'IMAGE_IN_USE');
        });
        assert.deepEqual(await daemon.leftovers(), []);
      });
  });
});

/** Whether qemu's lock of a writer is on the file. */
function isLocked(path: string): boolean {
  const inode = String(statSync(path).ino);
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .some(
      (line) => line.includes('OFDLCK') && new RegExp(`:${inode} (?:100 101|101 101|100 103|101 10\\d) ?$`).test(line),
    );
}
