/**
 * What a file has beside owner and mode: access lists, labels, attributes, capabilities, the end of
 * a log that others write too.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync } from 'node:fs';
import { chmod, chown, copyFile, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { CAPABILITY, groupRights, shiftedCapability } from '../../../src/adapters/rights/acl.js';
import { carryRights, hasFew } from '../../../src/adapters/rights/carry.js';
import { Xattrs } from '../../../src/adapters/rights/xattrs.js';
import { fakeTools } from '../../support/reasons/tools.js';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { isRoot, needs } from '../../support/needs.js';
import { GUEST, listFor } from '../../support/rights/access-list.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const [ACCESS, DEFAULT] = ['system.posix_acl_access', 'system.posix_acl_default'];
const GROUP_OF_FILE = 4100;
/** It has been shifted before. */
const STAYS = 150_000;

function attempted(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

describe('the rights of files', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  let xattrs: Xattrs;
  const mayRead = async (path: string, user: number, group = user) =>
    (await tryRun('setpriv', ['--reuid', String(user), '--regid', String(group), '--clear-groups', 'cat', path]))
      .code === 0;
  const write = (header: Message, text = 'new') =>
    daemon.get().stranger.send('FileService/WriteFile', [{ header }, { data: Buffer.from(text) }]);
  const operation = (rpc: string, request: Message) => daemon.get().stranger.operation(rpc, request);

  before(async function () {
    needs(this, isRoot, 'needs root, to be other users');
    const loaded = Xattrs.load('itself');
    needs(this, loaded !== undefined, 'koffi has no build for this host');
    assert.ok(loaded !== undefined);
    xattrs = loaded;
    for (const path of [scratch.path(), scratch.path('daemon'), at('.')]) await chmod(path, 0o755);
    await writeFile(at('probe'), '');
    xattrs.set(at('probe'), ACCESS, listFor());
    await writeFile(at('source.raw'), noise(65_536));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('source.qcow2'), '1M');
  });

  describe('that is replaced', () => {
    const verbs: Record<string, (path: string) => Promise<unknown>> = {
      WriteFile: (path) => write({ path }),
      CopyImage: (target) => operation('ImageService/CopyImage', { source: at('source.raw'), target, overwrite: true }),
      ConvertImage: (target) =>
        operation('ImageService/ConvertImage', {
          ...{ source: at('source.qcow2'), source_format: 'qcow2', target, target_format: 'raw', overwrite: true },
        }),
      CreateImage: (path) =>
        operation('ImageService/CreateImage', { path, format: 'raw', virtual_size_bytes: '65536', overwrite: true }),
    };
    for (const [verb, replace] of Object.entries(verbs))
      it(`${verb}: its list and attributes are those of the new one`, async () => {
        const path = at(`kept-${verb}`);
        await writeFile(path, 'old');
        await chown(path, 0, GROUP_OF_FILE);
        xattrs.set(path, ACCESS, listFor());
        xattrs.set(path, 'user.note', Buffer.from('of mine'));
        xattrs.set(path, 'trusted.label', Buffer.from([0, 1, 2]));
        await replace(path);
        assert.deepEqual(xattrs.get(path, ACCESS), listFor());
        assert.equal(xattrs.get(path, 'user.note')?.toString(), 'of mine');
        assert.deepEqual(xattrs.get(path, 'trusted.label'), Buffer.from([0, 1, 2]));
        assert.deepEqual(
          [await mayRead(path, GUEST), await mayRead(path, 5000, GROUP_OF_FILE), await mayRead(path, 5000)],
          [true, false, false],
        );
      });
    it('without a list it has none, also below a folder that gives one to new files', async () => {
      await mkdir(at('giving'));
      await writeFile(at('giving/plain'), 'old');
      await chmod(at('giving/plain'), 0o640);
      xattrs.set(at('giving'), DEFAULT, listFor());
      await write({ path: at('giving/plain') });
      assert.equal(xattrs.get(at('giving/plain'), ACCESS), undefined);
      assert.equal((await stat(at('giving/plain'))).mode & 0o777, 0o640);
      assert.equal(await mayRead(at('giving/plain'), GUEST), false);
    });
    it('as a link it takes nothing from what the link leads to', async () => {
      await writeFile(at('led to'), 'x');
      xattrs.set(at('led to'), ACCESS, listFor());
      await symlink('led to', at('link'));
      await write({ path: at('link') });
      assert.equal(xattrs.get(at('link'), ACCESS), undefined);
    });
    it('with a list that cannot be read its group gets nothing, for the mode may show the mask', () => {
      const { lost, groupRights: given } = carryRights(at('there is none'), at('probe'));
      assert.equal(given, 0);
      assert.match(lost.join(), /ENOENT/);
    });
    it('with more attributes than anybody needs it keeps what the host gives a meaning, and the first of the others', async function () {
      const [from, to] = ['/dev/shm', '/dev/shm'].map(
        (folder, n) => `${folder}/hostler-${String(process.pid)}-${String(n)}`,
      );
      assert.ok(from !== undefined && to !== undefined);
      await Promise.all([writeFile(from, ''), writeFile(to, '')]);
      try {
        const set = () => {
          for (let n = 0; n < 1200; n++) xattrs.set(from, `user.${String(n)}`, Buffer.from('x'));
          xattrs.set(from, ACCESS, listFor());
        };
        needs(this, attempted(set), 'a tmpfs without attributes of users');
        assert.equal(hasFew(from, 16), false);
        const { lost, groupRights: given } = carryRights(from, to);
        assert.deepEqual([lost, given], [['201 more attributes'], undefined]);
        assert.deepEqual(xattrs.get(to, ACCESS), listFor());
        assert.equal(xattrs.names(to).length, 1000);
      } finally {
        await Promise.all([rm(from), rm(to)]);
      }
    });
    it('with capabilities the new one has none, and the answer says so', async () => {
      await copyFile('/bin/true', at('tool'));
      await sh('setcap', 'cap_net_raw+ep', at('tool'));
      await write({ path: at('tool'), labels: {} });
      assert.equal(xattrs.get(at('tool'), CAPABILITY), undefined);
      const { operations } = await daemon.get().stranger.unary('OperationService/ListOperations', {});
      const last = (operations as { addresses: string[]; warnings?: { reason: string; message: string }[] }[]).find(
        ({ addresses }) => addresses.includes(at('tool')),
      );
      assert.deepEqual(
        last?.warnings?.map(({ reason }) => reason),
        ['RIGHTS_NOT_KEPT'],
      );
      assert.match(String(last.warnings[0]?.message), /capabilities/);
    });
  });

  describe('in a shifted tree mean what they meant', () => {
    const maps = [{ start: 0, target: 100_000, count: 65_536 }];
    const shift = (path: string, more: Message = {}) =>
      operation('FileService/ChownForIdMaps', { path, uid_maps: maps, gid_maps: maps, ...more });

    it('also where the owner stays: lists, those for new files, and capabilities', async () => {
      await mkdir(at('staying/folder'), { recursive: true });
      await writeFile(at('staying/listed'), 'x');
      await copyFile('/bin/true', at('staying/ping'));
      for (const name of ['listed', 'folder', 'ping', '.']) await chown(at(`staying/${name}`), STAYS, STAYS);
      await sh('setcap', 'cap_net_raw+ep', at('staying/ping'));
      xattrs.set(at('staying/listed'), ACCESS, listFor(1000, 50));
      xattrs.set(at('staying/folder'), DEFAULT, listFor(1000, 50));
      const all = () => [
        xattrs.get(at('staying/listed'), ACCESS),
        xattrs.get(at('staying/folder'), DEFAULT),
        xattrs.get(at('staying/ping'), CAPABILITY)?.readUInt32LE(20),
      ];
      for (const time of ['once', 'again']) {
        await shift(at('staying'));
        assert.deepEqual(all(), [listFor(101_000, 100_050), listFor(101_000, 100_050), 100_000], time);
      }
      assert.equal((await stat(at('staying/listed'))).uid, STAYS);
    });
    it('capabilities, of the shifted root; access lists and those for new files; set-id bits', async () => {
      await mkdir(at('tree/deep'), { recursive: true });
      await copyFile('/bin/true', at('tree/deep/ping'));
      await sh('setcap', 'cap_net_raw+ep', at('tree/deep/ping'));
      await writeFile(at('tree/listed'), 'x');
      xattrs.set(at('tree/listed'), ACCESS, listFor(1000, 50));
      xattrs.set(at('tree/deep'), DEFAULT, listFor(1000, 50));
      await copyFile('/bin/true', at('tree/su'));
      await chmod(at('tree/su'), 0o4755);
      await symlink('listed', at('tree/link'));
      await shift(at('tree'));
      assert.deepEqual(xattrs.get(at('tree/listed'), ACCESS), listFor(101_000, 100_050));
      assert.deepEqual(xattrs.get(at('tree/deep'), DEFAULT), listFor(101_000, 100_050));
      assert.equal((await stat(at('tree/su'))).mode & 0o7777, 0o4755);
      const capability = xattrs.get(at('tree/deep/ping'), CAPABILITY);
      assert.equal(capability?.readUInt32LE(20), 100_000);
      // What is as it should be stays so.
      await shift(at('tree'));
      assert.deepEqual(xattrs.get(at('tree/deep/ping'), CAPABILITY), capability);
      assert.deepEqual(xattrs.get(at('tree/listed'), ACCESS), listFor(101_000, 100_050));
    });
    it('and ids that no map knows are nobody’s', async () => {
      await mkdir(at('strange'));
      await writeFile(at('strange/listed'), 'x');
      xattrs.set(at('strange/listed'), ACCESS, listFor(70_000));
      await shift(at('strange'));
      assert.equal(xattrs.get(at('strange/listed'), ACCESS)?.readUInt32LE(4 + 8 + 4), 65_534);
    });
    it('numbers that are no capability stay as they are', () => {
      for (const value of [Buffer.alloc(0), Buffer.from([1, 2, 3]), Buffer.alloc(20), Buffer.alloc(24, 0xff)])
        assert.deepEqual(
          shiftedCapability(value, () => 5),
          value,
        );
      assert.equal(groupRights(listFor()), 0);
      assert.equal(groupRights(Buffer.alloc(2)), 0);
    });
  });

  describe('of a log that others write too', () => {
    it('what is appended is behind what they have written meanwhile', async () => {
      await writeFile(at('console.log'), '');
      const call = daemon.get().stranger.upload('FileService/WriteFile');
      const lines: string[] = [];
      const guest = (line: string) => {
        appendFileSync(at('console.log'), line);
        lines.push(line);
      };
      guest('guest 1\n');
      call.stream.write({ header: { path: at('console.log'), append: true } });
      for (const n of [1, 2, 3]) {
        const before = (await readFile(at('console.log'))).length;
        call.stream.write({ data: Buffer.from(`agent ${String(n)}\n`) });
        while ((await readFile(at('console.log'))).length === before);
        lines.push(`agent ${String(n)}\n`);
        guest(`guest ${String(n)} again, and longer than before\n`);
      }
      call.stream.end();
      await call.answer;
      assert.equal(await readFile(at('console.log'), 'utf8'), lines.join(''));
    });
    it('one that can only be appended to is appended to, and not written into', async function () {
      await writeFile(at('only'), 'a');
      needs(this, (await tryRun('chattr', ['+a', at('only')])).code === 0, 'the filesystem keeps no +a');
      try {
        await write({ path: at('only'), append: true }, 'b');
        assert.equal((await failure(write({ path: at('only'), offset: '0' }, 'c'))).reason, 'ACCESS_DENIED');
      } finally {
        await sh('chattr', '-a', at('only'));
      }
      assert.equal(await readFile(at('only'), 'utf8'), 'ab');
    });
  });
});

describe('names of users, when the name service', () => {
  const scratch = scratchFolder();
  for (const [title, body, reason] of [
    ['knows none of that name', 'exit 2', 'INVALID_FIELD'],
    ['knows another of that name', 'echo other:x:1:1:', 'INVALID_FIELD'],
    ['fails', 'echo no database >&2; exit 1', 'TOOL_FAILED'],
    ['fails otherwise', 'exit 3', 'TOOL_FAILED'],
    ['is killed', 'kill -9 $$', 'TOOL_FAILED'],
  ] as const)
    it(`${title}: ${reason}`, async () => {
      const PATH = await fakeTools(scratch.path(title), { getent: body });
      const daemon = await Daemon.start(scratch.path(`daemon ${String(title.length)}`), { env: { PATH } });
      try {
        await writeFile(daemon.image('f'), '');
        const error = await failure(
          daemon.stranger.operation('FileService/Chown', { path: daemon.image('f'), owner: 'root' }),
        );
        assert.equal(error.reason, reason, error.message);
        assert.ok(existsSync(daemon.image('f')));
      } finally {
        await daemon.stop();
      }
    });
});
