/** RemoveDirectory on real folders. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

/** More than a path can name, and than folders may be open. */
const DEEPEST = 10_000;
const ENTRIES = 5000;

const PLAN = { plan_only: true };

describe('RemoveDirectory', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    mkdirSync(scratch.path('daemon/images/around/root'), { recursive: true });
    const roots = ['images', 'images/around/root'].map(
      (name) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`,
    );
    return { roots: roots.join('') };
  });
  const at = (name: string) => daemon.get().image(name);
  const remove = async (path: string, more: Message = {}) => {
    const result = await daemon.get().stranger.operation('FileService/RemoveDirectory', { path, ...more });
    return result['deletion'] as Message;
  };
  const whole = (path: string, more: Message = {}) => remove(path, { recursive: true, ...more });
  const reason = async (call: Promise<unknown>) => (await failure(call)).reason;
  const run = (program: string, ...words: readonly string[]) => sh(process.execPath, '-e', program, ...words);

  it('an empty folder, and nothing else', async () => {
    await mkdir(at('full/below'), { recursive: true });
    await writeFile(at('file'), 'x');
    await symlink('full', at('link'));
    assert.equal(await reason(remove(at('full'))), 'DIRECTORY_NOT_EMPTY');
    for (const more of [{}, { recursive: true }])
      for (const name of ['file', 'link']) assert.equal(await reason(remove(at(name), more)), 'NOT_A_DIRECTORY');
    assert.equal(await reason(remove(at('absent'))), 'FILE_NOT_FOUND');
    assert.equal(await reason(whole(at('absent/below'))), 'FILE_NOT_FOUND');
    assert.equal((await remove(at('absent'), { missing_ok: true }))['existed'] ?? false, false);
    const words = { path: at('full/below'), recursive: true, plan_only: true };
    const { plan } = await daemon.get().stranger.operation('FileService/RemoveDirectory', words);
    assert.equal((plan as Message)['why'], 'the folder is removed, which is empty');
    const { existed, items } = await remove(at('full/below'));
    assert.deepEqual([existed, items], [true, '1']);
    assert.deepEqual(await readdir(at('full')), []);
  });

  it('with all that is in it, and no link followed', async () => {
    await mkdir(at('tree/a/b'), { recursive: true });
    await writeFile(at('kept'), 'kept');
    await symlink(at('kept'), at('tree/link'));
    await symlink(scratch.path('daemon/images'), at('tree/a/out'));
    await writeFile(at('tree/a/new\nline'), 'x');
    await writeFile(Buffer.concat([Buffer.from(at('tree/a/b/')), Buffer.from([0xff, 0xfe])]), 'x');
    await link(at('kept'), at('tree/a/b/second-name'));
    await sh('mkfifo', at('tree/fifo'));
    const { plan } = await daemon
      .get()
      .stranger.operation('FileService/RemoveDirectory', { path: at('tree'), recursive: true, plan_only: true });
    assert.equal((plan as Message)['why'], '9 entries are removed');
    const { existed, items } = await whole(at('tree'));
    assert.deepEqual([existed, items], [true, '9']);
    assert.ok(!existsSync(at('tree')));
    assert.equal(await readFile(at('kept'), 'utf8'), 'kept');
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it(`${String(DEEPEST)} folders one in the other`, async () => {
    const folders = `const fs = require('fs'); fs.mkdirSync(process.argv[1]); process.chdir(process.argv[1]);
      for (let n = 1; n < ${String(DEEPEST)}; n++) { fs.mkdirSync('d'); process.chdir('d'); } fs.writeFileSync('file', '');`;
    await run(folders, at('deep'));
    assert.equal((await whole(at('deep')))['items'], String(DEEPEST + 1));
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it(`${String(ENTRIES)} entries in one folder, with progress`, async () => {
    const files = `const fs = require('fs'); fs.mkdirSync(process.argv[1]); process.chdir(process.argv[1]);
      for (let n = 0; n < ${String(ENTRIES)}; n++) n % 10 ? fs.writeFileSync(String(n), '') : fs.mkdirSync(String(n));`;
    await run(files, at('wide'));
    const events = await daemon
      .get()
      .stranger.all('FileService/RemoveDirectory', { path: at('wide'), recursive: true });
    assert.ok(events.some(({ phase }) => phase === 'OPERATION_PHASE_INSPECTING'));
    assert.ok(!existsSync(at('wide')));
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('neither a root nor what holds one', async () => {
    for (const path of [scratch.path('daemon/images'), at('around'), at('around/root')])
      for (const more of [{}, { recursive: true }])
        assert.equal(await reason(remove(path, more)), 'DIRECTORY_RESERVED', path);
    assert.equal(await reason(whole('/etc')), 'PATH_OUTSIDE_ROOTS');
    assert.ok(existsSync(at('around/root')));
  });

  it('no image in it that qemu holds', async () => {
    await mkdir(at('held/below'), { recursive: true });
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('held/below/disk'), '1M');
    await whileHeld(at('held/below/disk'), scratch.path('nbd.sock'), async () => {
      for (const more of [{}, PLAN]) {
        const { reason: why, message } = await failure(whole(at('held'), more));
        assert.equal(why, 'IMAGE_IN_USE');
        assert.match(message, /held\/below\/disk/);
      }
    });
    assert.equal((await whole(at('held')))['items'], '3');
  });

  it('no image in it that others are backed by; those in it count for nothing', async () => {
    await mkdir(at('bases/below'), { recursive: true });
    const create = (path: string, ...words: readonly string[]) =>
      sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...words, path, '1M');
    await create(at('bases/below/base'));
    await create(at('bases/inside'), '-b', at('bases/below/base'), '-F', 'qcow2');
    await symlink('bases', at('alias'));
    for (const name of [at('bases/below/base'), 'bases/below/base', at('alias/below/base')]) {
      await create(at('outside'), '-b', name, '-F', 'qcow2');
      for (const more of [{}, PLAN]) {
        const { reason: why, message } = await failure(whole(at('bases'), more));
        assert.equal(why, 'IMAGE_HAS_DEPENDANTS', name);
        assert.match(message, /needed by an image, .*outside/);
      }
      await rm(at('outside'));
    }
    // What is not empty is no matter of images.
    assert.equal(await reason(remove(at('bases'))), 'DIRECTORY_NOT_EMPTY');
    assert.equal((await whole(at('bases')))['items'], '4');
  });

  it('no mount in it, be it of the same filesystem', async function () {
    needs(this, isRoot, 'only root mounts');
    await mkdir(at('mounts/below/point'), { recursive: true });
    await writeFile(at('mounts/file'), '');
    await mkdir(at('elsewhere'));
    await writeFile(at('elsewhere/precious'), 'x');
    const points: readonly (readonly [string, string[]])[] = [
      [at('mounts/below/point'), ['--bind', at('elsewhere')]],
      [at('mounts/file'), ['--bind', at('elsewhere/precious')]],
      [at('mounts/below/point'), ['-t', 'tmpfs', 'none']],
      [at('mounts'), ['--bind', at('elsewhere')]],
    ];
    for (const [point, words] of points) {
      await sh('mount', ...words, point);
      try {
        const { reason: why, message } = await failure(whole(at('mounts')));
        assert.equal(why, 'OTHER_FILESYSTEM', point);
        assert.ok(message.includes(point), message);
      } finally {
        await sh('umount', point);
      }
    }
    assert.equal((await whole(at('mounts')))['items'], '4');
    assert.equal(await readFile(at('elsewhere/precious'), 'utf8'), 'x');
  });

  it('nothing in which another agent works', async () => {
    await mkdir(at('shared/.hostler-0123456789ab-X'), { recursive: true });
    assert.equal(await reason(whole(at('shared'))), 'PATH_BUSY');
    assert.ok(existsSync(at('shared/.hostler-0123456789ab-X')));
    await rm(at('shared'), { recursive: true });
  });

  describe('with work in it', () => {
    let paused: Daemon;
    const inIt = (name: string) => scratch.path('paused/images', name);
    before(async () => {
      paused = await Daemon.start(scratch.path('paused'), {
        toml: '[debug]\nfailpoints = ["CreateImage:seal:pause", "RemoveDirectory:inspect:pause"]\n',
      });
    });
    after(() => paused.stop());

    it('is refused while another operation is at work in it', async () => {
      await mkdir(inIt('busy/below'), { recursive: true });
      const request = { path: inIt('busy/below/new'), format: 'raw', size: '1M' };
      const making = paused.stranger.operation('ImageService/CreateImage', request);
      await paused.logged(/"method":"CreateImage".*"step":"seal"/);
      for (const name of ['busy', 'busy/below'])
        assert.equal(
          await reason(paused.stranger.operation('FileService/RemoveDirectory', { path: inIt(name), recursive: true })),
          'PATH_BUSY',
        );
      paused.process.kill('SIGUSR2');
      await making;
      assert.ok(existsSync(inIt('busy/below/new')));
    });

    it('lets nothing begin in it, and leaves all as it was when it is cancelled', async () => {
      await mkdir(inIt('going/below'), { recursive: true });
      await writeFile(inIt('going/below/file'), 'x');
      const from = paused.log.length;
      const removing = failure(
        paused.stranger.all('FileService/RemoveDirectory', { path: inIt('going'), recursive: true, request_id: 'c' }),
      );
      await paused.logged(/"method":"RemoveDirectory".*"step":"inspect"/, from);
      const request = { path: inIt('going/below/new'), format: 'raw', size: '1M' };
      assert.equal(await reason(paused.stranger.operation('ImageService/CreateImage', request)), 'PATH_BUSY');
      const listed = await paused.stranger.unary('OperationService/ListOperations', {
        filter: { states: ['OPERATION_STATE_RUNNING'] },
      });
      const [operation] = listed['operations'] as Message[];
      const cancelled = paused.stranger.unary('OperationService/CancelOperation', {
        operation_id: operation?.['operation_id'],
      });
      await until(async () => {
        const { operations = [] } = await paused.stranger.unary('OperationService/ListOperations', {
          filter: { states: ['OPERATION_STATE_RUNNING'] },
        });
        return (operations as Message[]).length === 0;
      });
      paused.process.kill('SIGUSR2');
      await cancelled;
      assert.equal((await removing).reason, 'CANCELLED');
      assert.equal(await readFile(inIt('going/below/file'), 'utf8'), 'x');
      assert.deepEqual(await paused.leftovers(), []);
    });
  });
});
