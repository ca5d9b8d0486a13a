/** Facts about the host. */
import assert from 'node:assert/strict';
import { HostnameKind } from '../../src/gen/hostler/v1/host_info_service.js';
import { refusalFrom, until } from '../agent/agent.js';
import * as host from '../agent/host-rpcs.js';
import { execute } from '../agent/command-rpcs.js';
import { findRootDisk, listCachedImages, closeExport } from '../agent/image-rpcs.js';
import { invalid, refused } from '../expect.js';
import { about } from '../runner/case.js';

const UUID = '12345678-1234-1234-1234-123456789abc';

export const hostCases = about('host', [
  {
    name: 'GetHostInfo has the version, the kernel, the tools, the formats and the roots',
    run: async (at) => {
      const info = await at.agent.ask(host.getHostInfo, {});
      for (const text of [info.agentId, info.agentVersion, info.kernel, info.architecture]) assert.notEqual(text, '');
      assert.ok(info.tools.some(({ name, version }) => name === 'qemu-img' && version !== ''));
      for (const format of ['raw', 'qcow2']) {
        assert.ok(info.readableFormats.includes(format) && info.creatableFormats.includes(format), format);
      }
      assert.ok(info.roots.some(({ path }) => path === at.world.root.path));
    },
  },
  {
    name: 'GetHostInfo has the version of the contract, and the parts that are served, each once',
    run: async (at) => {
      const { contractVersion, features } = await at.agent.ask(host.getHostInfo, {});
      assert.match(contractVersion, /^1\.\d+$/);
      assert.equal(new Set(features).size, features.length);
    },
  },
  {
    name: 'the space of a filesystem adds up',
    run: async (at) => {
      const { filesystem } = await at.agent.ask(host.getFilesystemInfo, { path: at.folder });
      assert.ok(filesystem !== undefined);
      const { totalBytes, freeBytes, usedBytes, filesystemType, mountPoint } = filesystem;
      assert.ok(totalBytes > 0n && freeBytes <= totalBytes && usedBytes <= totalBytes);
      assert.ok(filesystemType !== '' && at.folder.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`));
    },
  },
  {
    name: 'the space of a path outside the roots is PATH_OUTSIDE_ROOTS, and of nothing FILE_NOT_FOUND',
    run: async (at) => {
      await refused(at.agent.ask(host.getFilesystemInfo, { path: '/etc' }), 'PATH_OUTSIDE_ROOTS');
      await refused(at.agent.ask(host.getFilesystemInfo, { path: at.path('nothing') }), 'FILE_NOT_FOUND');
    },
  },
  {
    name: 'a watch of a filesystem has its space at once',
    run: async (at) => {
      const { filesystem } = await until(at.agent.open(host.watchFilesystem, { path: at.folder }), () => true);
      assert.ok((filesystem?.totalBytes ?? 0n) > 0n);
    },
  },
  {
    name: 'a pool that is not configured is POOL_NOT_FOUND',
    run: async (at) => {
      await refused(at.agent.ask(host.getPoolInfo, { pool: 'no-such-pool-is-configured' }), 'POOL_NOT_FOUND');
      const pool = 'no-such-pool-is-configured';
      await refused(at.agent.ask(listCachedImages, { pool }), 'POOL_NOT_FOUND');
    },
  },
  {
    name: 'architectures have canonical names, and an unknown one is INVALID_FIELD',
    run: async (at) => {
      const of = async (imageArchitecture: string) =>
        (await at.agent.ask(host.getArchitecture, { imageArchitecture })).architecture;
      assert.deepEqual([await of('amd64'), await of('X86_64'), await of('i386')], ['x86_64', 'x86_64', 'i686']);
      assert.equal((await at.agent.ask(host.getArchitecture, {})).architecture, at.world.host.architecture);
      await invalid(of('abacus'), 'image_architecture');
    },
  },
  {
    name: 'a hostname, an IPv4 and an IPv6 address are told apart from other words',
    run: async (at) => {
      const kind = async (hostname: string) => (await at.agent.ask(host.validateHostname, { hostname })).kind;
      const { HOSTNAME_KIND_HOSTNAME, HOSTNAME_KIND_IPV4, HOSTNAME_KIND_IPV6, HOSTNAME_KIND_UNSPECIFIED } =
        HostnameKind;
      assert.equal(await kind('host-1.example'), HOSTNAME_KIND_HOSTNAME);
      assert.equal(await kind('192.0.2.1'), HOSTNAME_KIND_IPV4);
      assert.equal(await kind('2001:db8::1'), HOSTNAME_KIND_IPV6);
      for (const word of ['', '-oProxyCommand=x', 'a b', 'a;b', 'a/b', 'a\nb'])
        assert.equal(await kind(word), HOSTNAME_KIND_UNSPECIFIED, JSON.stringify(word));
    },
  },
  {
    name: 'the disk driver of KVM is qemu, and an unknown hypervisor is INVALID_FIELD',
    run: async (at) => {
      const of = (virtType: string) => at.agent.ask(host.pickDiskDriverName, { virtType });
      assert.equal((await of('kvm')).driverName, 'qemu');
      await invalid(of('abacus'), 'virt_type');
    },
  },
  {
    name: 'the folder of an instance is named by its UUID, and in the old layout by its name',
    run: async (at) => {
      const instance = { uuid: UUID, name: 'instance-00000001' };
      const path = async (more: object) => (await at.agent.ask(host.getInstancePath, { instance, ...more })).path;
      assert.equal(await path({ relative: true }), UUID);
      assert.ok((await path({})).endsWith(`/${UUID}`));
      assert.ok((await path({ forceOld: true })).endsWith('/instance-00000001'));
    },
  },
  {
    name: 'an instance without a UUID, or whose name has a slash, is INVALID_FIELD',
    run: async (at) => {
      const of = (instance: object) => at.agent.ask(host.getInstancePath, { instance, forceOld: true });
      await refused(of({ uuid: 'no-uuid', name: 'a' }), 'INVALID_FIELD');
      await refused(of({ uuid: UUID, name: '../etc' }), 'INVALID_FIELD');
    },
  },
  {
    name: 'the folder of an instance that is being migrated is where the migration says',
    run: async (at) => {
      const instance = { uuid: UUID, name: 'instance-00000001' };
      const relative = { instanceRelativePath: 'instance-00000001' };
      const { path } = await at.agent.ask(host.getInstancePathAtDestination, { instance, migrateData: relative });
      assert.ok(path.endsWith('/instance-00000001'));
      const plain = await at.agent.ask(host.getInstancePathAtDestination, { instance });
      assert.ok(plain.path.endsWith(`/${UUID}`));
    },
  },
  {
    name: 'the mount of a filesystem is a mount, and a folder in it is none',
    run: async (at) => {
      const mounted = async (mountPath: string) => (await at.agent.ask(host.isMounted, { mountPath })).mounted;
      assert.equal(await mounted('/'), true);
      assert.equal(await mounted(at.folder), false);
      await refused(at.agent.ask(host.isMounted, { mountPath: 'relative' }), 'INVALID_FIELD');
    },
  },
  {
    name: 'the iSCSI initiator has a name if it is configured, and none if not',
    run: async (at) => {
      const { configured, initiatorName } = await at.agent.ask(host.getIscsiInitiator, {});
      assert.equal(initiatorName !== '', configured);
    },
  },
  {
    name: 'the root disk of a domain is its first disk, with the format of the XML',
    run: async (at) => {
      const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/x/disk'/><target dev='vda'/></disk>`;
      const value = `<domain type='kvm'><name>a</name><devices>${disk}</devices></domain>`;
      const found = await at.agent.ask(findRootDisk, { domain: { $case: 'domainXml', value } });
      assert.deepEqual(found, { path: '/x/disk', format: 'qcow2' });
      const none = { $case: 'domainXml' as const, value: "<domain type='kvm'><devices/></domain>" };
      await refused(at.agent.ask(findRootDisk, { domain: none }), 'ROOT_DISK_NOT_FOUND');
    },
  },
  {
    name: 'the XML of a domain with a document type is INVALID_FIELD: no entity is expanded',
    run: async (at) => {
      const value = `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain type='kvm'><name>&x;</name></domain>`;
      await refused(at.agent.ask(findRootDisk, { domain: { $case: 'domainXml', value } }), 'INVALID_FIELD');
    },
  },
  {
    name: 'a command that is not configured is COMMAND_NOT_FOUND, or not allowed to the caller',
    run: async (at) => {
      const call = at.agent.read(execute, { name: 'no-such-command-is-configured' });
      const { reason } = await refusalFrom(call);
      assert.ok(['COMMAND_NOT_FOUND', 'METHOD_NOT_ALLOWED'].includes(reason), reason);
    },
  },
  {
    name: 'an unknown export is EXPORT_NOT_FOUND',
    run: async (at) => {
      await refused(at.agent.ask(closeExport, { exportId: 'nothing' }), 'EXPORT_NOT_FOUND');
    },
  },
]);
