/**
 * What is wrong with an image is said of the image, in all of the tool's words and with the names
 * that callers know.
 */
import assert from 'node:assert/strict';
import { copyFile, open, readFile, writeFile } from 'node:fs/promises';
import { crc32c } from '../../../src/domain/formats/crc32c.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { WORK, callByName } from '../../support/reasons/work.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { mendHeader } from '../../support/images/structures.js';

/** Header of a qcow2: its version, and what marks it as corrupt. */
const [VERSION, CORRUPT] = [7, 79];

describe('the state of an image', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message) => callByName(daemon.get().stranger, rpc, request);
  const patch = async (path: string, offset: number, byte: number) => {
    const file = await open(path, 'r+');
    await file.write(Buffer.from([byte]), 0, 1, offset);
    await file.close();
  };
  const fails = async (rpc: string, request: Message, reason: string) => {
    const error = await failure(call(rpc, request));
    assert.equal(error.reason, reason, error.message);
    assert.doesNotMatch(error.message, /\/(?:l|w|proc\/self\/fd)\/\d|json:/, 'the paths are those of the caller');
    return error.message;
  };

  before(async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'vhdx', at('pending.vhdx'), '8M');
    const content = await readFile(at('pending.vhdx'));
    for (const header of [64 << 10, 128 << 10]) content.fill(7, header + 48, header + 64);
    mendHeader('vhdx', content);
    const entry = content.subarray(1 << 20, (1 << 20) + 4096);
    entry.write('loge');
    entry.writeUInt32LE(entry.length, 8);
    entry.writeBigUInt64LE(1n, 16);
    entry.fill(7, 32, 48);
    entry.writeUInt32LE(crc32c(entry), 4);
    await writeFile(at('pending.vhdx'), content);

    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('base.qcow2'), '8M');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', at('base.qcow2'), at('over.qcow2'));
    await copyFile(at('over.qcow2'), at('corrupt.qcow2'));
    await sh('qemu-img', 'snapshot', '-c', 'one', at('over.qcow2'));
    await copyFile(at('over.qcow2'), at('corrupt-snapshot.qcow2'));
    for (const name of ['corrupt.qcow2', 'corrupt-snapshot.qcow2']) await patch(at(name), CORRUPT, 2);
  });

  for (const [rpc, format] of [
    ['MapImage', 'format'],
    ['MeasureImage', 'format'],
    ['CheckImage', 'format'],
    ['ConvertImage', 'source_format'],
    ['ExtractSnapshot', 'source_format'],
    ['CompareImages', 'first_format'],
  ] as const)
    it(`${rpc} of a VHDX with a log that was not applied`, async () => {
      const { reads = '', makes, rest = {} } = WORK[rpc] ?? {};
      const more = rpc === 'CompareImages' ? { second: at('base.qcow2'), second_format: 'qcow2' } : {};
      const target = makes === undefined ? {} : { [makes]: at('never') };
      const request = { ...rest, ...more, ...target, [reads]: at('pending.vhdx'), [format]: 'vhdx' };
      const message = await fails(rpc, request, 'IMAGE_NEEDS_REPAIR');
      assert.match(message, /needs to be replayed/);
      assert.ok(message.includes(at('pending.vhdx')), message);
    });

  for (const rpc of ['ResizeImage', 'RebaseImage', 'CommitImage', 'CreateSnapshot', 'DeleteSnapshot', 'RevertSnapshot'])
    it(`${rpc} of a qcow2 that is marked as corrupt`, async () => {
      const { changes = '', rest = {} } = WORK[rpc] ?? {};
      const hasSnapshot = rpc === 'DeleteSnapshot' || rpc === 'RevertSnapshot';
      const path = at(hasSnapshot ? 'corrupt-snapshot.qcow2' : 'corrupt.qcow2');
      await fails(rpc, { ...rest, [changes]: path, allow_dependants: true }, 'IMAGE_NEEDS_REPAIR');
    });

  it('what helps: CheckImage with a repair, for both', async () => {
    const work = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
    for (const [name, format] of [
      ['pending.vhdx', 'vhdx'],
      ['corrupt.qcow2', 'qcow2'],
    ] as const) {
      await copyFile(at(name), at(`mended-${name}`));
      await work('CheckImage', { path: at(`mended-${name}`), format, repair: 'REPAIR_MODE_ALL' });
      const convert = { source: at(`mended-${name}`), source_format: format, target: at(`${name}.raw`) };
      await work('ConvertImage', { ...convert, target_format: 'raw' });
      if (format === 'qcow2') await work('ResizeImage', { path: at(`mended-${name}`), format, size: '16M' });
    }
  });

  it('version 2 cannot do it: zero clusters, a resize with snapshots; nor a revert with a bitmap', async () => {
    await writeFile(at('disk'), noise(1 << 20));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', at('disk'), at('zero.qcow2'));
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -z 0 64k', at('zero.qcow2'));
    await patch(at('zero.qcow2'), VERSION, 2);
    const convert = { source: at('zero.qcow2'), source_format: 'qcow2', target: at('never'), target_format: 'raw' };
    const message = await fails('ConvertImage', convert, 'IMAGE_MALFORMED');
    assert.match(message, /Zero cluster/, 'not only the last line');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', at('v2.qcow2'), '8M');
    await sh('qemu-img', 'snapshot', '-c', 'one', at('v2.qcow2'));
    await fails('ResizeImage', { path: at('v2.qcow2'), format: 'qcow2', size: '16M' }, 'UNSUPPORTED_BY_BACKEND');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('bitmap.qcow2'), '8M');
    await sh('qemu-img', 'bitmap', '--add', at('bitmap.qcow2'), 'b');
    await sh('qemu-img', 'snapshot', '-c', 'one', at('bitmap.qcow2'));
    const revert = { path: at('bitmap.qcow2'), format: 'qcow2', snapshot: 'one' };
    await fails('RevertSnapshot', revert, 'UNSUPPORTED_BY_BACKEND');
  });

  it('too small clusters for the size asked for are no lack of space', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', at('small.qcow2'), '1G');
    await fails('ResizeImage', { path: at('small.qcow2'), format: 'qcow2', size: '1T' }, 'UNSUPPORTED_BY_BACKEND');
  });

  it('an unknown format is answered with those that there are, whatever the verb', async () => {
    const source = { http: { url: 'http://127.0.0.1/x' } };
    for (const [rpc, request, field] of [
      ['FetchImage', { source, target: at('never'), source_format: 'vhd', max_size_bytes: '1' }, 'source_format'],
      ['FetchImage', { source, target: at('never'), target_format: 'vhd', max_size_bytes: '1' }, 'target_format'],
      ['PrefetchImage', { source, source_format: 'vhd', max_size_bytes: '1' }, 'source_format'],
      ['ConvertImage', { source: at('disk'), source_format: 'vhd', target: at('never') }, 'source_format'],
      [
        'RebaseImage',
        { path: at('disk'), format: 'qcow2', backing_file: '/x', backing_format: 'vhd' },
        'backing_format',
      ],
      ['GetImageInfo', { path: at('disk'), format: 'vhd' }, 'format'],
    ] as const) {
      const error = await failure(call(rpc, request));
      assert.equal(error.reason, 'INVALID_FIELD');
      assert.match(error.message, new RegExp(`${field}: unknown format; what you mean may be vpc; one of raw, qcow2`));
    }
    const error = await failure(call('RebaseImage', { path: at('disk'), format: 'qcow2', backing_file: 'x' }));
    assert.match(error.message, /backing_file: must be an absolute path/);
  });
});
