/**
 * What is decided about the host without looking at it: the cases of the old module's own tests,
 * and more.
 */
import assert from 'node:assert/strict';
import { canonicalArchitecture } from '../../../src/domain/host/architecture.js';
import { pickDiskDriver, type DiskDriverSpec } from '../../../src/domain/host/disk-driver.js';
import { countsOf, sizesOf } from '../../../src/adapters/linux/system-sizes.js';
import { spaceOf } from '../../../src/domain/host/filesystem-info.js';
import { hostnameKind } from '../../../src/domain/host/hostname.js';
import { initiatorName } from '../../../src/domain/host/initiator.js';
import { instancePath, instancePathAtDestination } from '../../../src/domain/host/instance-path.js';
import { isOfSource, mountedAt } from '../../../src/domain/host/mounted.js';

const UUID = 'c39ceb94-27df-4d3c-8e5a-b5ee4a0a9f3b';

describe('the host, by rule', () => {
  it('parity row 13: architectures by their canonical names', () => {
    const cases: [string, string][] = [
      ...['i386', 'i486', 'i586', 'x86_32', 'x86_32p', 'I686'].map((name): [string, string] => [name, 'i686']),
      ['AMD64', 'x86_64'],
      ['x86_64', 'x86_64'],
      ['arm64', 'aarch64'],
      ['ppc64el', 'ppc64le'],
      ['riscv64', 'riscv64'],
      ['loongarch64', 'loongarch64'],
    ];
    for (const [name, canonical] of cases) assert.equal(canonicalArchitecture(name), canonical);
    for (const name of ['', 'x86', 'toString', 'constructor', 'x86_64 '])
      assert.throws(() => canonicalArchitecture(name), { reason: 'INVALID_FIELD' }, name);
  });

  it('parity row 17: free is what a user without privileges can have', () => {
    const counts = { fragmentBytes: 4096n, blocks: 2000n, freeBlocks: 1000n, availableBlocks: 900n };
    assert.deepEqual(spaceOf({ ...counts, inodes: 0n, freeInodes: 0n }), {
      totalBytes: 8192000n,
      freeBytes: 3686400n,
      usedBytes: 4096000n,
    });
  });

  it('space is never negative, nor more than the total, whatever a filesystem counts', () => {
    const values = [-(2n ** 63n), -1n, 0n, 1n, 7n, 2n ** 63n - 1n, 2n ** 64n - 1n];
    for (const blocks of values)
      for (const free of values)
        for (const frsize of [-1n, 0n, 1n, 4096n, 2n ** 63n - 1n]) {
          const [bavail, bfree, files, ffree] = [free, free, blocks, free];
          const counts = countsOf({ type: 0n, bsize: 1_048_576n, frsize, blocks, bfree, bavail, files, ffree });
          const { totalBytes, freeBytes, usedBytes } = spaceOf(counts);
          for (const bytes of [totalBytes, freeBytes, usedBytes, counts.inodes, counts.freeInodes])
            assert.ok(bytes >= 0n && bytes < 2n ** 64n, String([blocks, free, frsize]));
          assert.ok(freeBytes <= totalBytes && usedBytes <= totalBytes, String([blocks, free, frsize]));
        }
  });
  it('blocks are counted in the unit of the filesystem, not in what suits reading', () => {
    const counts = { blocks: 100n, bfree: 50n, bavail: 25n, files: 0n, ffree: 0n, type: 0n };
    assert.equal(spaceOf(countsOf({ ...counts, bsize: 1_048_576n, frsize: 4096n })).totalBytes, 409_600n);
    assert.equal(spaceOf(countsOf({ ...counts, bsize: 4096n, frsize: 0n })).freeBytes, 102_400n);
  });
  it('sizes of files are never negative', () => {
    assert.deepEqual(sizesOf({ size: -1n, blocks: -8n }), { lengthBytes: 0n, allocatedBytes: 0n });
    assert.deepEqual(sizesOf({ size: 5n, blocks: 8n }), { lengthBytes: 5n, allocatedBytes: 4096n });
    assert.equal(sizesOf({ size: 0n, blocks: 2n ** 63n - 1n }).allocatedBytes, 2n ** 64n - 1n);
  });

  it('parity row 18: the folder by name where it exists or is demanded, else by UUID', async () => {
    const instance = { uuid: UUID, name: 'instance-0001' };
    const path = (exists: boolean, more: object = {}) =>
      instancePath({ instance, forceOld: false, relative: false, ...more }, '/i', () => Promise.resolve(exists));
    assert.equal(await path(false), `/i/${UUID}`);
    assert.equal(await path(true), '/i/instance-0001');
    assert.equal(await path(false, { forceOld: true }), '/i/instance-0001');
    assert.equal(await path(false, { relative: true }), UUID);
    assert.equal(await path(true, { relative: true }), 'instance-0001');
    assert.equal(await path(true, { instance: { uuid: UUID, name: '' } }), `/i/${UUID}`);
    for (const name of ['..', '.', 'a/b', '/etc', 'a\0b', 'n'.repeat(256)])
      await assert.rejects(path(false, { instance: { uuid: UUID, name } }), { reason: 'INVALID_FIELD' }, name);
    for (const uuid of ['', 'x', `${UUID}\n`, `../${UUID}`])
      await assert.rejects(path(false, { instance: { uuid, name: '' } }), { reason: 'INVALID_FIELD' }, uuid);
    await assert.rejects(path(false, { forceOld: true, instance: { uuid: UUID, name: '' } }), {
      reason: 'INVALID_FIELD',
    });
  });

  it('parity row 19: at the destination, what the migration says goes first', async () => {
    const path = (relativePath?: string) =>
      instancePathAtDestination(
        { instance: { uuid: UUID, name: 'old' }, forceOld: false, relative: false, relativePath },
        '/i',
        () => Promise.resolve(false),
      );
    assert.equal(await path('elsewhere'), '/i/elsewhere');
    assert.equal(await path(), `/i/${UUID}`);
    for (const bad of ['', '..', '../x', '/etc', 'a/b'])
      await assert.rejects(path(bad), { reason: 'INVALID_FIELD' }, bad);
  });

  it('parity row 20: the first line that begins exactly so, the rest trimmed', () => {
    assert.equal(
      initiatorName('# comment\nInitiatorName=iqn.1993-08.org.debian:01:abc  \nInitiatorName=second\n'),
      'iqn.1993-08.org.debian:01:abc',
    );
    assert.equal(initiatorName(' InitiatorName=x\ninitiatorname=y\n#InitiatorName=z'), undefined);
    assert.equal(initiatorName(''), undefined);
    for (const empty of ['InitiatorName=', 'InitiatorName= \r\n', 'InitiatorName=\nInitiatorName=second\n'])
      assert.equal(initiatorName(empty), undefined, 'nothing is configured');
  });

  it('parity row 21: exactly this place, the topmost of stacked mounts, whatever the path is that names it', async () => {
    const mounts = [
      { mountPoint: '/', source: '/dev/root', type: 'ext4' },
      { mountPoint: '/mnt/a b', source: 'first', type: 'tmpfs' },
      { mountPoint: '/mnt/a b', source: '/dev/loop1', type: 'xfs' },
    ];
    const places = new Map([
      ['/link', '/mnt/a b'],
      ['/mnt/link/../a b', '/mnt/a b'],
      ['/mnt/a b/c', '/mnt/a b/c'],
    ]);
    const devices = new Map([
      ['/dev/loop1', '1'],
      ['/dev/disk/by-uuid/x', '1'],
      ['/dev/mapper/x', '1'],
      ['/dev/loop2', '2'],
    ]);
    const asked: string[] = [];
    const host = {
      mounts: () => Promise.resolve(mounts),
      realPath: (path: string) => Promise.resolve((asked.push(path), places.get(path))),
      deviceOf: (path: string) => Promise.resolve(devices.get(path)),
    };
    for (const path of ['/mnt/a b', '/mnt/a b/', '//mnt/a b', '/mnt/./a b/.', '/mnt//a b//'])
      assert.equal((await mountedAt(path, host))?.type, 'xfs', path);
    // What is a mount point by its name is not asked for what it is.
    assert.deepEqual(asked, []);
    for (const path of ['/link', '/mnt/link/../a b']) assert.equal((await mountedAt(path, host))?.type, 'xfs', path);
    assert.equal((await mountedAt('/', host))?.source, '/dev/root');
    for (const path of ['/mnt', '/mnt/a b/c', '/no']) assert.equal(await mountedAt(path, host), undefined, path);
    const [, , top] = mounts;
    assert.ok(top !== undefined);
    for (const source of ['/dev/loop1', '/dev/disk/by-uuid/x', '/dev/mapper/x', 'UUID=x', 'UUID="x"'])
      assert.ok(await isOfSource(top, source, host), source);
    for (const source of ['/dev/loop2', 'UUID=y', 'LABEL=x', '/dev/no', 'loop1'])
      assert.ok(!(await isOfSource(top, source, host)), source);
  });

  it('parity row 25: disk drivers by hypervisor, version and what its tools say', async () => {
    const asked: string[] = [];
    const pick = (
      virtType: DiskDriverSpec['virtType'],
      version?: number,
      says: Record<string, string> = {},
      isBlockDevice = false,
    ) => {
      asked.length = 0;
      return pickDiskDriver({ virtType, hypervisorVersion: version, isBlockDevice }, (tool) => {
        asked.push(tool);
        return Promise.resolve(new Map(Object.entries(says)).get(tool));
      });
    };
    const [xend, ok] = [{ xend: '' }, { 'tap-ctl': 'ok\n' }];
    for (const type of ['kvm', 'qemu'] as const) assert.equal(await pick(type), 'qemu');
    for (const type of ['lxc', 'uml', 'parallels'] as const) assert.equal(await pick(type), undefined);
    assert.equal(await pick('xen', 4002000, {}, true), 'phy');
    assert.deepEqual(asked, []);
    assert.equal(await pick('xen', 4000000, ok), 'tap');
    assert.equal(await pick('xen', 4000000, xend), 'file');
    assert.deepEqual(asked, ['tap-ctl'], 'xend is not asked');
    assert.equal(await pick('xen', 4001000, ok), 'tap2');
    assert.equal(await pick('xen', 4001000), 'file');
    assert.equal(await pick('xen', 4002000, { ...xend, ...ok }), 'tap2');
    assert.equal(await pick('xen', 4002000, xend), 'file');
    assert.equal(await pick('xen', 4002000, ok), 'qemu');
    assert.equal(await pick('xen', 5000000, { ...xend, 'tap-ctl': 'ok' }), 'file', 'exactly ok and a newline');
    await assert.rejects(pick('xen'), { reason: 'INVALID_FIELD' });
  });

  it('parity row 22: what may be a host', () => {
    const cases: [string, string | undefined][] = [
      ['hello.world.com', 'hostname'],
      ['host_name', 'hostname'],
      ['10.0.2.1', 'ipv4'],
      ['240:2ac3::2', 'ipv6'],
      ['::1', 'ipv6'],
      ['a'.repeat(253), 'hostname'],
      ...[
        'foo/?com=/bin/sh',
        '',
        '-oProxyCommand=x',
        '.',
        '.a',
        'a b',
        'host\n',
        'höst',
        'a'.repeat(254),
        '$(id)',
        'a\0',
      ].map((bad): [string, undefined] => [bad, undefined]),
    ];
    for (const [name, kind] of cases) assert.equal(hostnameKind(name), kind, JSON.stringify(name));
  });
});
