/**
 * What the worst header costs that each reader lets pass, or refuses: at most 8 MiB and 100 ms, in
 * a process that does nothing else.
 */
import assert from 'node:assert/strict';
import { open, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const [MOST_BYTES, MOST_MS] = [8 << 20, 100];
/** The machine may be busy; the work is not. */
const ATTEMPTS = 5;

describe('the worst headers', () => {
  const scratch = scratchFolder();
  const harmless = scratch.path.bind(undefined, 'harmless.qcow2');
  before(() => sh('qemu-img', 'create', '-q', '-f', 'qcow2', harmless(), '1M'));

  const costs = async (path: string) => {
    const child = fileURLToPath(new URL('../support/images/header-memory.js', import.meta.url));
    const out = await sh(
      process.execPath,
      '--expose-gc',
      '--max-semi-space-size=1',
      '--single-threaded',
      child,
      harmless(),
      path,
    );
    return JSON.parse(out) as { answer: string; ms: number; bytes: number };
  };
  const cheap = async (path: string, expected: string) => {
    let best = await costs(path);
    for (let n = 1; n < ATTEMPTS && (best.ms > MOST_MS || best.bytes > MOST_BYTES); n++) {
      const next = await costs(path);
      best = { ...next, ms: Math.min(next.ms, best.ms), bytes: Math.min(next.bytes, best.bytes) };
    }
    assert.equal(best.answer, expected);
    const said = `${best.ms.toFixed(1)} ms, ${(best.bytes / 2 ** 20).toFixed(1)} MiB`;
    assert.ok(best.bytes <= MOST_BYTES && best.ms <= MOST_MS, said);
    process.stdout.write(`      ${said}\n`);
  };
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };

  for (const [count, expected] of [
    [4096, 'qcow2'],
    [4097, 'IMAGE_MALFORMED'],
    [26_000, 'IMAGE_MALFORMED'],
  ] as const)
    it(`qcow2 with ${String(count)} snapshots`, async () => {
      const path = scratch.path('snapshots.qcow2');
      const table = Buffer.alloc(count * 40);
      const file = await open(path, 'w');
      await file.write(await readFile(harmless()));
      await file.write(Buffer.concat([u32(count), u32(0), u32(1 << 20)]), 0, 12, 60);
      await file.write(table, 0, table.length, 1 << 20);
      await file.close();
      await cheap(path, expected);
    });

  it('qcow2 that promises a million snapshots', async () => {
    const path = scratch.path('million.qcow2');
    const content = await readFile(harmless());
    u32(1_000_000).copy(content, 60);
    await writeFile(path, content);
    await cheap(path, 'IMAGE_MALFORMED');
  });

  it('qcow2 with the largest cluster full of extensions and names of features', async () => {
    const path = scratch.path('extensions.qcow2');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', path, '1M');
    const content = await readFile(path);
    content.writeBigUInt64BE(1n << 40n, 72);
    for (let at = 112; at + 8 < 2 << 20; at += 8 + 4800) {
      content.writeUInt32BE(0x6803f857, at);
      content.writeUInt32BE(4800, at + 4);
      for (let name = at + 8; name < at + 8 + 4800; name += 48) content.writeUInt8(40, name + 1);
    }
    await writeFile(path, content);
    await cheap(path, 'IMAGE_MALFORMED');
    content.writeUInt32BE(0, 112 + (8 + 4800) * 13);
    await writeFile(path, content);
    await cheap(path, 'qcow2');
  });

  it('a VMDK descriptor of as many extents as are read, and one of 100 MiB', async () => {
    const head = '# Disk DescriptorFile\nversion=1\n';
    await writeFile(scratch.path('extents.vmdk'), head + 'RW 1 ZERO\n'.repeat(26_000));
    await cheap(scratch.path('extents.vmdk'), 'vmdk');
    await writeFile(scratch.path('huge.vmdk'), head + 'RW 1 ZERO\n'.repeat(10 << 20));
    await cheap(scratch.path('huge.vmdk'), 'IMAGE_MALFORMED');
  });

  it('LUKS 2 with four megabytes of JSON that would be much more once parsed', async () => {
    const luks = Buffer.alloc(5 << 20);
    luks.write('LUKS\xba\xbe', 0, 'latin1');
    luks.writeUInt16BE(2, 6);
    luks.writeBigUInt64BE(4n << 20n, 8);
    luks.fill('[],', 4097, 4 << 20);
    luks.write('[', 4096);
    await writeFile(scratch.path('luks'), luks);
    await cheap(scratch.path('luks'), 'IMAGE_MALFORMED');
  });

  it('LUKS 2 with thousands of segments', async () => {
    const others = Array.from({ length: 6000 }, (_, n) => `"${String(n + 1)}":""`).join();
    const luks = Buffer.alloc(5 << 20);
    luks.write('LUKS\xba\xbe', 0, 'latin1');
    luks.writeUInt16BE(2, 6);
    luks.writeBigUInt64BE(4n << 20n, 8);
    luks.write(`{"segments":{"0":{"offset":"4194304","size":"dynamic"},${others}}}`, 4096);
    await writeFile(scratch.path('luks'), luks);
    await cheap(scratch.path('luks'), 'luks');
  });

  it('VHDX with as many regions and items as it may have', async () => {
    const path = scratch.path('regions.vhdx');
    await sh('qemu-img', 'create', '-q', '-f', 'vhdx', path, '1M');
    const content = await readFile(path);
    for (const [at, count] of [
      [196608, 2047],
      [262144, 2047],
    ] as const)
      content.writeUInt32LE(count, at + 8);
    await writeFile(path, content);
    await cheap(path, 'IMAGE_MALFORMED');
  });

  it('2^63 bytes, zero clusters', async () => {
    for (const [offset, value] of [
      [24, u32(0x80000000)],
      [20, u32(0)],
    ] as const) {
      const content = await readFile(harmless());
      value.copy(content, offset);
      await writeFile(scratch.path('promise.qcow2'), content);
      await cheap(scratch.path('promise.qcow2'), 'IMAGE_MALFORMED');
    }
  });
});
