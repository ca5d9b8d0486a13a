/** GetHostInfo, WatchFilesystem and FindRootDisk on the real host. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, needs, needsMounts } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1 << 20;
/** What libvirt's test driver knows: a host with two domains. */
const NODE = `<node>
  <domain type='test'><name>plain</name><memory>1024</memory><os><type>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/a&amp;b.qcow2'/><target dev='vda'/></disk>
  </devices></domain>
  <domain type='test'><name>diskless</name><memory>1024</memory><os><type>hvm</type></os></domain>
</node>`;

describe('the host', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    for (const name of ['images', 'frozen', 'xfs']) mkdirSync(scratch.path('daemon', name), { recursive: true });
    writeFileSync(scratch.path('node.xml'), NODE);
    const root = (name: string) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`;
    return {
      top: `libvirt_uri = "test://${scratch.path('node.xml')}"\n`,
      roots: `${root('images')}${root('frozen')}access = "read-only"\n${root('xfs')}`,
    };
  });
  const unary = (rpc: string, request: Message = {}) => daemon.get().stranger.unary(rpc, request);
  const rootsNow = async () => (await unary('HostInfoService/GetHostInfo'))['roots'] as Message[];

  it('says what the agent, its tools and its roots are', async () => {
    const info = await unary('HostInfoService/GetHostInfo');
    assert.equal(info['kernel'], release());
    assert.match(String(info['agent_version']), /^\d+\.\d+\.\d+/);
    assert.match(daemon.get().log, new RegExp(`"agent":"${String(info['agent_id'])}"`));
    assert.match(String(info['sandbox']), /^(?:bubblewrap|none)$/);
    const tools = new Map((info['tools'] as Message[]).map((tool) => [tool['name'], tool]));
    assert.equal(tools.get('qemu-img')?.['version'], (await sh('qemu-img', '--version')).split('\n')[0]);
    assert.match(String(tools.get('ssh')?.['version']), /^OpenSSH_/);
    assert.ok((info['readable_formats'] as string[]).includes('vhdx'));
    assert.ok((info['creatable_formats'] as string[]).includes('qcow2'));
    assert.ok(!(info['creatable_formats'] as string[]).includes('dmg'));
    assert.match(String(info['contract_version']), /^1\.\d+$/);
    assert.deepEqual(info['features'], ['folders', 'inventory', 'cursors', 'rates']);
    const [images, frozen] = info['roots'] as [Message, Message];
    assert.deepEqual(
      [images['path'], images['kind'], images['writable'], images['trusted'], images['hard_links'], images['sparse']],
      [scratch.path('daemon/images'), 'files', true, true, true, true],
    );
    assert.notEqual(frozen['writable'], true);
    assert.notEqual(frozen['hard_links'], true);
    for (const name of ['images', 'frozen']) assert.deepEqual(await readdir(scratch.path('daemon', name)), []);
  });

  it('finds by trying that a filesystem shares extents', async function () {
    this.timeout(60_000);
    needsMounts(this);
    needs(this, installed('mkfs.xfs'), 'mkfs.xfs is not installed');
    await sh('truncate', '-s', '400M', scratch.path('xfs.img'));
    await sh('mkfs.xfs', '-q', '-m', 'reflink=1', scratch.path('xfs.img'));
    const mounted = scratch.path('mounted');
    mkdirSync(mounted);
    await sh('mount', '-o', 'loop', scratch.path('xfs.img'), mounted);
    scratch.onEnd(() => sh('umount', mounted));
    const other = await Daemon.start(scratch.path('other'), { roots: `[[roots]]\npath = "${mounted}"\n` });
    try {
      const { roots } = (await other.stranger.unary('HostInfoService/GetHostInfo')) as { roots: Message[] };
      const { filesystem_type, reflink, direct_io, hard_links } = roots[0] ?? {};
      assert.deepEqual([filesystem_type, reflink, direct_io, hard_links], ['xfs', true, true, true]);
    } finally {
      await other.stop();
    }
  });

  it('many callers at once get the same answer and leave nothing', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, rootsNow));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('watches a filesystem: at once, and when it has changed by more than the threshold', async () => {
    const path = scratch.path('daemon/images');
    const request = { path, threshold_bytes: String(32 * MIB), interval: { seconds: '0', nanos: 100_000_000 } };
    const stream = daemon.get().stranger.stream('HostInfoService/WatchFilesystem', request);
    const free: number[] = [];
    stream.on('data', ({ filesystem }: Message) => free.push(Number((filesystem as Message)['free_bytes'])));
    const ended = new Promise((resolve) => stream.once('error', resolve));
    const reports = (count: number) => until(() => free.length >= count);
    await reports(1);
    await writeFile(`${path}/ballast`, noise(64 * MIB), { flush: true });
    await reports(2);
    // Others use the disk too, and may just have given back more than that.
    assert.ok(Math.abs((free[0] ?? 0) - (free[1] ?? 0)) > 32 * MIB);
    await rm(`${path}/ballast`);
    await reports(3);
    stream.cancel();
    await ended;
  });

  it('refuses to watch what is not there, too often, or outside', async () => {
    const watch = (request: Message) => failure(daemon.get().stranger.all('HostInfoService/WatchFilesystem', request));
    const path = scratch.path('daemon/images');
    assert.equal((await watch({ path, interval: { seconds: '0', nanos: 1 } })).reason, 'INVALID_FIELD');
    assert.equal((await watch({ path, interval: { seconds: '-5' } })).reason, 'INVALID_FIELD');
    assert.equal((await watch({ path: `${path}/none` })).reason, 'FILE_NOT_FOUND');
    assert.equal((await watch({ path: '/etc' })).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('parity row 12: the root disk of a domain, by its XML and by its name', async function () {
    const find = (request: Message) => unary('ImageService/FindRootDisk', request);
    const xml = `<domain type='kvm'><devices><disk><driver type='raw'/><source dev='/dev/vg/x'/></disk></devices></domain>`;
    const { path, format } = await find({ domain_xml: xml });
    assert.deepEqual([path, format], ['/dev/vg/x', 'raw']);
    assert.equal((await failure(find({ domain_xml: '<!DOCTYPE x><domain/>' }))).reason, 'INVALID_FIELD');
    for (const request of [{}, { domain_name: '' }, { domain_name: 'a/b' }, { domain_name: 'a\nb' }])
      assert.equal((await failure(find(request))).reason, 'INVALID_FIELD', JSON.stringify(request));
    needs(this, installed('virsh'), 'virsh is not installed');
    const asked = await find({ domain_name: 'plain' });
    assert.deepEqual([asked['path'], asked['format']], ['/srv/a&b.qcow2', 'qcow2']);
    assert.equal((await failure(find({ domain_name: 'diskless' }))).reason, 'ROOT_DISK_NOT_FOUND');
    for (const name of ['nobody', '--help', '-x'])
      assert.equal((await failure(find({ domain_name: name }))).reason, 'DOMAIN_NOT_FOUND', name);
    const env = { HOSTLER_ADDRESS: daemon.get().address };
    const ended = await tryRun(HOSTLER, ['disk', 'find-root', 'plain'], { env });
    assert.equal(ended.stdout, '/srv/a&b.qcow2  qcow2\n');
  });

  it('hostler host info and watch', async () => {
    const env = { HOSTLER_ADDRESS: daemon.get().address };
    const { stdout } = await tryRun(HOSTLER, ['host', 'info'], { env });
    assert.match(stdout, /^agent +\w+, version [\s\S]*qemu-img +qemu-img version[\s\S]*images +\S+ +write, /);
    const watched = await tryRun(HOSTLER, ['host', 'watch', scratch.path('daemon/images')], {
      env,
      signalWhen: { says: / free$/m, signal: 'SIGTERM' },
    });
    assert.match(watched.stdout, /GiB of .* free/);
  });
});
