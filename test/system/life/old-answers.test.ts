/** What the old module said of a disk, from GetImageInfo: its size and its backing file. */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('size and backing file of a disk', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const info = async (name: string, format?: string) => {
    const request = { path: at(name), ...(format === undefined ? {} : { format }) };
    return (await daemon.get().stranger.unary('ImageService/GetImageInfo', request))['info'] as Message;
  };
  before(async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('base.qcow2'), '3G');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', at('base.qcow2'), at('absolute.qcow2'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base.qcow2', at('relative.qcow2'));
  });

  it('parity row 15: the virtual size, of every format', async () => {
    for (const format of ['raw', 'qcow2', 'qed', 'vdi', 'vmdk', 'vhdx', 'parallels']) {
      await sh('qemu-img', 'create', '-q', '-f', format, at(`size.${format}`), '64M');
      for (const given of [format, undefined])
        assert.equal((await info(`size.${format}`, given))['virtual_size_bytes'], String(64 << 20), format);
    }
    // As qemu says it, in whole sectors.
    await writeFile(at('odd'), 'x'.repeat(1000));
    const { virtual_size_bytes, file_length_bytes } = await info('odd', 'raw');
    assert.deepEqual([virtual_size_bytes, file_length_bytes], ['1024', '1000']);
  });

  it("parity row 15: a guest's header in a raw disk is data, and its size the file's (CVE-2015-7548)", async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('guest.raw'), '100G');
    await truncate(at('guest.raw'), 1 << 20);
    assert.equal((await info('guest.raw', 'raw'))['virtual_size_bytes'], String(1 << 20));
    assert.equal((await info('guest.raw'))['virtual_size_bytes'], String(100 * 2 ** 30));
  });

  it('parity row 14: as stored, resolved, and its last component', async () => {
    for (const [name, stored] of [
      ['absolute.qcow2', at('base.qcow2')],
      ['relative.qcow2', 'base.qcow2'],
    ] as const) {
      const { backing_file, full_backing_file, backing_file_basename, backing_format } = await info(name, 'qcow2');
      assert.deepEqual(
        [backing_file, full_backing_file, backing_file_basename, backing_format],
        [stored, at('base.qcow2'), 'base.qcow2', 'qcow2'],
      );
    }
  });

  it('parity row 14: none stays none', async () => {
    const { backing_file, full_backing_file, backing_file_basename } = await info('base.qcow2', 'qcow2');
    assert.deepEqual([backing_file, full_backing_file, backing_file_basename], [undefined, undefined, undefined]);
  });

  it('parity rows 14 and 15: a missing path; a disk in use', async () => {
    assert.equal((await failure(info('missing', 'qcow2'))).reason, 'IMAGE_NOT_FOUND');
    await whileHeld(at('absolute.qcow2'), scratch.path('nbd.sock'), async () => {
      // What is shown may be a tenth of a second old.
      await until(async () => (await info('absolute.qcow2', 'qcow2'))['in_use'] === true);
      assert.equal((await info('absolute.qcow2', 'qcow2'))['virtual_size_bytes'], String(3 * 2 ** 30));
    });
  });
});
