/**
 * A guest's qemu opens the base of its disk by itself: a VHD that it takes for another disk than we
 * do is no base.
 */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { mendHeader } from '../../support/images/structures.js';

/** No number of cylinders, heads and sectors makes it. */
const SIZE = 3 << 20;
/** One that does: 90 cylinders of 4 heads with 17 sectors. */
const ROUND = 90 * 4 * 17 * 512;

describe('VHDs as bases', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  let made = 0;

  /** As a program of that name makes it. */
  const vhd = async (subformat: string, creator: string, { size = SIZE, cylinders = 90 } = {}) => {
    const path = at(`${String(++made)}.vhd`);
    await writeFile(at('disk'), noise(size));
    const options = `subformat=${subformat},force_size=on`;
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', options, at('disk'), path);
    const content = await readFile(path);
    for (const from of subformat === 'fixed' ? [-512] : [0, -512]) {
      const footer = content.subarray(from < 0 ? content.length + from : from);
      footer.write(creator, 28, 'latin1');
      footer.writeUInt16BE(cylinders, 56);
      footer.set([4, 17], 58);
    }
    mendHeader('vpc', content);
    await writeFile(path, content);
    return path;
  };
  const overlayOn = (base: string, name: string, more: Message = {}) =>
    run('CreateOverlay', { path: at(name), backing_file: base, backing_format: 'vpc', ...more });
  const byQemu = async (base: string) => {
    const info = await sh('qemu-img', 'info', '-f', 'vpc', '--output=json', base);
    return String((JSON.parse(info) as { 'virtual-size': number })['virtual-size']);
  };

  for (const subformat of ['fixed', 'dynamic']) {
    for (const creator of ['wa\0\0', 'vbox', 'vs  ', '\0\0\0\0'])
      it(`${subformat}, made by "${creator.replaceAll('\0', '')}": refused, with both sizes`, async () => {
        const base = await vhd(subformat, creator);
        const error = await failure(overlayOn(base, 'refused'));
        assert.equal(error.reason, 'BASE_SIZE_DIFFERS', error.message);
        assert.equal(error.metadata['virtual_size_bytes'], String(SIZE));
        assert.equal(error.metadata['qemu_size_bytes'], await byQemu(base));
        await assert.rejects(stat(at('refused')), { code: 'ENOENT' });
      });
    it(`${subformat}: one with a geometry of nothing is refused`, async () => {
      const base = await vhd(subformat, 'wa\0\0', { cylinders: 0 });
      const error = await failure(overlayOn(base, 'refused'));
      assert.deepEqual([error.reason, error.metadata['qemu_size_bytes']], ['BASE_SIZE_DIFFERS', '0']);
    });
  }

  it('where qemu sees the same by itself, it sees the same through the overlay', async () => {
    const same: [string, string, number][] = [
      ['fixed', 'qem2', SIZE],
      ['dynamic', 'win ', SIZE],
      ['dynamic', 'tap\0', SIZE],
      ['fixed', 'wa\0\0', ROUND],
      ['dynamic', 'vbox', ROUND],
      ['fixed', 'qemu', SIZE],
    ];
    for (const [n, [subformat, creator, size]] of same.entries()) {
      const base = await vhd(subformat, creator, { size });
      await overlayOn(base, `over-${String(n)}`);
      await sh('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', at(`over-${String(n)}`), at('seen'));
      const seen = await readFile(at('seen'));
      assert.equal(String(seen.length), await byQemu(base));
      assert.ok(seen.equals(noise(size).subarray(0, seen.length)), creator);
    }
  });

  it('below an image that lies on it, it is refused too', async () => {
    const base = await vhd('dynamic', 'wa\0\0');
    const words = ['-u', '-f', 'qcow2', '-F', 'vpc', '-b', base, at('middle'), String(SIZE)];
    await sh('qemu-img', 'create', '-q', ...words);
    const request = { path: at('top'), backing_file: at('middle'), backing_format: 'qcow2', allow_chain: true };
    assert.equal((await failure(run('CreateOverlay', request))).reason, 'BASE_SIZE_DIFFERS');
    // What is read through us is whole.
    await run('RebaseImage', { path: at('middle'), format: 'qcow2' });
    await sh('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', at('middle'), at('flat'));
    assert.ok((await readFile(at('flat'))).equals(noise(SIZE)));
    await run('CreateOverlay', request);
  });

  it('no image is given such a base, unless nobody is to look', async () => {
    const [base, good] = [await vhd('fixed', 'vbox'), await vhd('fixed', 'qem2')];
    await overlayOn(good, 'rebased');
    const request = { path: at('rebased'), format: 'qcow2', backing_file: base, backing_format: 'vpc' };
    const before = await readFile(at('rebased'));
    for (const more of [{}, { plan_only: true }])
      assert.equal((await failure(run('RebaseImage', { ...request, ...more }))).reason, 'BASE_SIZE_DIFFERS');
    assert.ok((await readFile(at('rebased'))).equals(before));
    assert.equal((await failure(overlayOn(base, 'planned', { plan_only: true }))).reason, 'BASE_SIZE_DIFFERS');
    await run('RebaseImage', { ...request, header_only: true });
    assert.equal((await tryRun('grep', ['-qF', base, at('rebased')])).code, 0);
  });
});
