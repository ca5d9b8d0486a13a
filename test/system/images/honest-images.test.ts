/**
 * Images that honest programs make and that qemu, or its words, see in another way than we do: they
 * come in, and unchanged.
 */
import assert from 'node:assert/strict';
import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { mendHeader } from '../../support/images/structures.js';

const MIB = 1 << 20;

describe('honest images', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const fetch = (source: string, target: string, more: Message = {}) =>
    run('FetchImage', { source: { file: { path: source } }, target, ...more });
  const made = async (format: string, ...options: string[]) => {
    await writeFile(at('disk'), noise(3 * MIB));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, at('disk'), at(`made.${format}`));
    return at(`made.${format}`);
  };
  const patch = async (path: string, change: (content: Buffer) => void) => {
    const content = await readFile(path);
    change(content);
    await writeFile(path, content);
  };

  it('a qcow2 whose size is no multiple of 512 has whole sectors, for us and for qemu', async () => {
    for (const size of [3 * MIB - 1, 3 * MIB - 412, 3 * MIB - 512]) {
      const path = await made('qcow2');
      await patch(path, (content) => content.writeBigUInt64BE(BigInt(size), 24));
      await fetch(path, at('odd'), { target_format: 'raw', overwrite: true });
      const whole = size - (size % 512);
      assert.ok((await readFile(at('odd'))).equals(noise(3 * MIB).subarray(0, whole)), String(size));
      const { info } = await daemon.get().stranger.unary('ImageService/GetImageInfo', { path });
      assert.equal((info as Message)['virtual_size_bytes'], String(whole));
    }
  });

  it('a VHDX that a host left with an empty log', async () => {
    const path = await made('vhdx');
    await patch(path, (content) => {
      for (const header of [64 << 10, 128 << 10]) content.fill(7, header + 48, header + 64);
      mendHeader('vhdx', content);
    });
    await fetch(path, at('log'), { target_format: 'raw' });
    assert.ok((await readFile(at('log'))).equals(noise(3 * MIB)));
  });

  it('a VHD whose creator qemu has no rule for, fixed and dynamic', async () => {
    for (const subformat of ['fixed', 'dynamic']) {
      const path = await made('vpc', '-o', `subformat=${subformat},force_size=on`);
      await patch(path, (content) => {
        for (const footer of subformat === 'fixed' ? [-512] : [0, -512]) {
          const sector = content.subarray(footer < 0 ? content.length + footer : footer).subarray(0, 512);
          sector.write('vbox', 28);
          sector.writeUInt32BE(0, 56);
        }
        mendHeader('vpc', content);
      });
      await fetch(path, at('vhd'), { target_format: 'raw', overwrite: true });
      assert.ok((await readFile(at('vhd'))).equals(noise(3 * MIB)), subformat);
    }
  });

  it('LUKS 2 is kept as it is, undeclared, as luks and as raw; nothing here makes another format of it', async () => {
    const json = JSON.stringify({
      keyslots: {},
      tokens: {},
      segments: { 0: { type: 'crypt', offset: String(MIB), size: 'dynamic', iv_tweak: '0', sector_size: 512 } },
      digests: {},
      config: { json_size: '12288', keyslots_size: '0' },
    });
    const header = Buffer.alloc(16 << 10);
    Buffer.from('4c554b53babe0002', 'hex').copy(header);
    header.writeBigUInt64BE(BigInt(header.length), 8);
    header.write(json, 4096);
    const content = Buffer.concat([header, Buffer.alloc(MIB - header.length), noise(2 * MIB)]);
    await writeFile(at('luks2'), content);
    for (const said of [{}, { source_format: 'luks' }, { source_format: 'raw' }]) {
      await fetch(at('luks2'), at('kept'), { ...said, overwrite: true });
      assert.ok((await readFile(at('kept'))).equals(content));
    }
    const error = await failure(fetch(at('luks2'), at('no'), { target_format: 'qcow2' }));
    assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', error.message);
  });

  it('zstd with the largest window that its tool has', async () => {
    await writeFile(at('random'), noise(MIB));
    await sh('sh', '-c', 'cat "$1" | zstd -q -c --long=31 > "$2"', 'sh', at('random'), at('long.zst'));
    await fetch(at('long.zst'), at('long'));
  });

  it('a cut one is refused all the same', async () => {
    const path = await made('vpc', '-o', 'subformat=fixed,force_size=on');
    await copyFile(path, at('cut.vpc'));
    const file = await open(path);
    const { size } = await file.stat();
    await file.close();
    const footer = (await readFile(path)).subarray(-512);
    await truncate(at('cut.vpc'), size - MIB);
    await writeFile(at('cut.vpc'), footer, { flag: 'a' });
    assert.equal((await failure(fetch(at('cut.vpc'), at('no'), { target_format: 'raw' }))).reason, 'IMAGE_UNSAFE');
  });
});
