/** FileService on real files. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { isRoot } from '../../support/needs.js';
import { scratchFolder, type Scratch } from '../../support/scratch.js';
import { quiet, whileHeld } from '../../support/processes.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1 << 20;

describe('FileService', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    mkdirSync(scratch.path('daemon/frozen'), { recursive: true });
    writeFileSync(scratch.path('daemon/frozen/file'), 'ice');
    return { roots: rootsOf(scratch) };
  });
  const at = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message = {}) => daemon.get().stranger.unary(`FileService/${rpc}`, request);
  const write = (header: Message, ...data: string[]) =>
    daemon
      .get()
      .stranger.send('FileService/WriteFile', [{ header }, ...data.map((text) => ({ data: Buffer.from(text) }))]);
  const read = async (request: Message): Promise<Buffer> => {
    const messages = await daemon.get().stranger.all('FileService/ReadFile', request);
    return Buffer.concat(messages.map(({ data }) => data as Buffer));
  };
  const reason = async (call: Promise<unknown>) => (await failure(call)).reason;

  it('parity row 10: removes one file; what is missing, a folder, a link, a FIFO', async () => {
    await writeFile(at('gone'), 'x');
    await symlink('gone', at('gone-link'));
    await sh('mkfifo', at('fifo'));
    await mkdir(at('folder'));
    assert.equal((await call('DeleteFile', { path: at('gone-link') }))['existed'], true);
    assert.ok(existsSync(at('gone')));
    assert.equal((await call('DeleteFile', { path: at('gone') }))['existed'], true);
    assert.equal((await call('DeleteFile', { path: at('fifo') }))['existed'], true);
    for (const path of [at('gone'), at('gone/below'), at('no/such')]) {
      assert.equal(await reason(call('DeleteFile', { path })), 'FILE_NOT_FOUND');
      assert.notEqual((await call('DeleteFile', { path, missing_ok: true }))['existed'], true);
    }
    assert.equal(await reason(call('DeleteFile', { path: at('folder') })), 'NOT_A_FILE');
    assert.equal(await reason(call('DeleteFile', { path: scratch.path('daemon/frozen/file') })), 'ROOT_READ_ONLY');
    await writeFile(at('once'), 'x');
    assert.equal((await call('DeleteFile', { path: at('once'), request_id: 'r1' }))['existed'], true);
    assert.equal((await call('DeleteFile', { path: at('once'), request_id: 'r1' }))['existed'], true);
    assert.equal(await reason(call('DeleteFile', { path: at('other'), request_id: 'r1' })), 'REQUEST_ID_REUSED');
  });

  it('an image that qemu holds is neither removed nor written to', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('held'), '1M');
    await whileHeld(at('held'), scratch.path('nbd.sock'), async () => {
      assert.equal(await reason(call('DeleteFile', { path: at('held') })), 'IMAGE_IN_USE');
      assert.equal(await reason(write({ path: at('held') }, 'x')), 'IMAGE_IN_USE');
      assert.equal(await reason(write({ path: at('held'), offset: '5' }, 'x')), 'IMAGE_IN_USE');
      assert.equal((await call('TouchFile', { path: at('held') }))['existed'], true);
    });
  });

  it('parity row 24: what is there, through links, and what is not', async () => {
    await writeFile(at('there'), 'hello');
    await chmod(at('there'), 0o640);
    await utimes(at('there'), 1_600_000_000, 1_600_000_000);
    await symlink('there', at('there-link'));
    await symlink('nothing', at('dangling'));
    await symlink('loop', at('loop'));
    await symlink('/etc/passwd', at('escape'));
    for (const name of ['there', 'there-link']) {
      const found = await call('StatFile', { path: at(name) });
      const { exists, file_type: type, size_bytes, mode, uid = 0 } = found;
      assert.deepEqual(
        [exists, type, size_bytes, mode, uid],
        [true, 'FILE_TYPE_REGULAR', '5', 0o640, process.getuid?.()],
      );
      assert.equal((found['modify_time'] as Message)['seconds'], '1600000000');
    }
    for (const path of [at('dangling'), at('loop'), at('none'), at('none/below'), at('there/below')])
      assert.notEqual((await call('StatFile', { path }))['exists'], true, path);
    assert.equal((await call('StatFile', { path: scratch.path('daemon/images') }))['file_type'], 'FILE_TYPE_DIRECTORY');
    assert.equal(await reason(call('StatFile', { path: at('escape') })), 'PATH_OUTSIDE_ROOTS');
    assert.equal(await reason(call('StatFile', { path: '/etc/passwd' })), 'PATH_OUTSIDE_ROOTS');
  });

  it('parity row 26: sets the time of what is there, makes nothing', async () => {
    await writeFile(at('touched'), 'x');
    await utimes(at('touched'), 1, 1);
    await symlink('touched', at('touched-link'));
    assert.equal((await call('TouchFile', { path: at('touched-link') }))['existed'], true);
    assert.ok(Date.now() - (await stat(at('touched'))).mtimeMs < 60_000);
    for (const path of [at('untouched'), at('no/such')]) {
      assert.notEqual((await call('TouchFile', { path }))['existed'], true);
      assert.ok(!existsSync(path));
    }
    assert.equal(await reason(call('TouchFile', { path: scratch.path('daemon/frozen/file') })), 'ROOT_READ_ONLY');
  });

  describe('ReadFile', () => {
    it('parity row 23: the whole file; parity row 11: from an offset, so much of it', async () => {
      const content = noise(3 * MIB + 5);
      await writeFile(at('read'), content);
      assert.ok((await read({ path: at('read') })).equals(content));
      for (const [offset, length] of [
        [0, 0],
        [0, 1],
        [MIB, MIB],
        [content.length - 2, 10],
        [content.length, 1],
        [2 ** 40, 5],
      ] as const) {
        const part = await read({ path: at('read'), offset: String(offset), length: String(length) });
        assert.ok(part.equals(content.subarray(offset, offset + length)), `${String(offset)}+${String(length)}`);
      }
      await writeFile(at('empty'), '');
      assert.equal((await read({ path: at('empty') })).length, 0);
    });

    it('refuses what is no file, not there, not inside, or past the last offset', async () => {
      await mkdir(at('read-folder'));
      await sh('mkfifo', at('read-fifo'));
      for (const [path, expected] of [
        [at('read-folder'), 'NOT_A_FILE'],
        [at('read-fifo'), 'NOT_A_FILE'],
        [at('no-such'), 'FILE_NOT_FOUND'],
        ['/etc/passwd', 'PATH_OUTSIDE_ROOTS'],
      ] as const)
        assert.equal(await reason(read({ path })), expected);
      assert.equal(await reason(read({ path: at('read'), offset: String(2n ** 63n) })), 'INVALID_FIELD');
      assert.equal(await reason(read({ path: at('read'), length: String(2n ** 64n - 1n) })), 'INVALID_FIELD');
    });

    it('files of /proc and /sys, that do not say how long they are', async () => {
      const folder = scratch.path('kernel');
      const other = await Daemon.start(folder, {
        roots:
          '[[roots]]\npath = "/proc/sys"\naccess = "read-only"\n[[roots]]\npath = "/sys/kernel"\naccess = "read-only"\n',
      });
      try {
        for (const path of ['/proc/sys/kernel/ostype', '/sys/kernel/uevent_seqnum']) {
          const messages = await other.stranger.all('FileService/ReadFile', { path });
          assert.equal(
            Buffer.concat(messages.map(({ data }) => data as Buffer)).toString(),
            await readFile(path, 'utf8'),
          );
        }
      } finally {
        await other.stop();
      }
    });

    it('a file that becomes shorter meanwhile is an error, not an end', async () => {
      await writeFile(at('shrinks'), Buffer.alloc(64 * MIB, 1));
      const stream = daemon.get().stranger.stream('FileService/ReadFile', { path: at('shrinks') });
      await new Promise((resolve) => stream.once('data', resolve));
      stream.pause();
      const error = new Promise<Error>((resolve) => stream.once('error', resolve));
      await truncate(at('shrinks'), MIB);
      stream.resume();
      assert.match((await error).message, /became shorter/);
    });

    it('a slow reader and a large file cost no memory', async function () {
      this.timeout(60_000);
      await truncate(at('touched'), 10 * 1024 * MIB);
      const rss = async () =>
        Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${String(daemon.get().process.pid)}/status`, 'utf8'))?.[1]);
      await read({ path: at('touched'), length: String(64 * MIB) });
      const before = await rss();
      const slow = daemon.get().stranger.stream('FileService/ReadFile', { path: at('touched') });
      await new Promise((resolve) => slow.once('data', resolve));
      slow.pause();
      await quiet(daemon.get().process.pid ?? 0);
      assert.ok((await rss()) - before < 48 * 1024, `${String(before)} -> ${String(await rss())} KiB`);
      slow.cancel();
      await new Promise((resolve) => slow.once('error', resolve));
    });
  });

  describe('WriteFile', () => {
    it('parity row 27: replaces the content; mode of a new file by umask, of an old one kept', async () => {
      for (const [umask, mode] of [
        [undefined, 0o644],
        [0, 0o666],
        [0o277, 0o400],
        [0o77, 0o600],
      ] as const) {
        const path = at(`new-${String(umask)}`);
        const answer = await write({ path, ...(umask === undefined ? {} : { umask }) }, 'one ', 'two');
        assert.equal(answer['written_bytes'], '7');
        assert.equal(await readFile(path, 'utf8'), 'one two');
        assert.equal((await stat(path)).mode & 0o7777, mode);
      }
      await chmod(at('new-0'), 0o604);
      if (isRoot) await chown(at('new-0'), 5, 6);
      await write({ path: at('new-0'), umask: 0o77 }, 'changed');
      const { mode, uid, gid } = await stat(at('new-0'));
      assert.deepEqual([mode & 0o7777, uid, gid], [0o604, ...(isRoot ? [5, 6] : [uid, gid])]);
      await write({ path: at('new-0') });
      assert.equal(await readFile(at('new-0'), 'utf8'), '');
    });

    it('parity row 11: writes at an offset, and at the end, in place', async () => {
      await writeFile(at('place'), '0123456789');
      const { ino } = await stat(at('place'));
      await write({ path: at('place'), offset: '3' }, 'ab', 'c');
      assert.equal(await readFile(at('place'), 'utf8'), '012abc6789');
      await write({ path: at('place'), append: true }, '!');
      await write({ path: at('place'), offset: '13' }, 'x');
      assert.equal(await readFile(at('place'), 'utf8'), '012abc6789!\0\0x');
      assert.equal((await stat(at('place'))).ino, ino);
      assert.equal(await reason(write({ path: at('no-such'), append: true }, 'x')), 'FILE_NOT_FOUND');
      assert.equal(await reason(write({ path: at('no-such'), offset: '0' }, 'x')), 'FILE_NOT_FOUND');
      assert.equal(await reason(write({ path: at('place'), offset: '0', append: true }, 'x')), 'INVALID_FIELD');
      assert.equal(await reason(write({ path: at('place'), offset: String(2n ** 63n) }, 'x')), 'INVALID_FIELD');
    });

    it('refuses streams that are not a header and data, and places that cannot be', async () => {
      const send = (...messages: Message[]) => daemon.get().stranger.send('FileService/WriteFile', messages);
      const header = { path: at('bad') };
      for (const messages of [[], [{ data: Buffer.from('x') }], [{}], [{ header }, { header }], [{ header }, {}]])
        assert.equal(await reason(send(...messages)), 'INVALID_FIELD', JSON.stringify(messages));
      assert.ok(!existsSync(at('bad')));
      await mkdir(at('write-folder'));
      for (const [path, expected] of [
        [at('write-folder'), 'NOT_A_FILE'],
        [at('no/parent'), 'PARENT_NOT_FOUND'],
        ['/etc/hostler-test', 'PATH_OUTSIDE_ROOTS'],
        [scratch.path('daemon/frozen/x'), 'ROOT_READ_ONLY'],
        ['relative', 'INVALID_FIELD'],
      ] as const)
        assert.equal(await reason(write({ path }, 'x')), expected);
      assert.equal(await reason(write({ path: at('bad'), umask: 0o1000 }, 'x')), 'INVALID_FIELD');
      assert.deepEqual(await daemon.get().leftovers(), []);
    });

    it('a writer that vanishes half-way leaves the old content and nothing else', async () => {
      await writeFile(at('half'), 'old');
      for (const path of [at('half'), at('half-new')]) {
        const { stream, answer } = daemon.get().stranger.upload('FileService/WriteFile');
        stream.write({ header: { path } });
        stream.write({ data: noise(MIB) });
        await until(async () => (await daemon.get().leftovers()).some((name) => name.endsWith('/part')));
        stream.cancel();
        assert.equal((await failure(answer)).code, 1);
        await until(async () => (await daemon.get().leftovers()).length === 0);
      }
      assert.equal(await readFile(at('half'), 'utf8'), 'old');
      assert.ok(!existsSync(at('half-new')));
    });

    it('a link is replaced, what it leads to stays', async () => {
      await writeFile(scratch.path('precious'), 'precious');
      await symlink(scratch.path('precious'), at('write-link'));
      await write({ path: at('write-link') }, 'mine');
      assert.equal(await readFile(scratch.path('precious'), 'utf8'), 'precious');
      assert.equal(await readFile(at('write-link'), 'utf8'), 'mine');
      assert.equal((await lstat(at('write-link'))).isFile(), true);
    });

    it('a repeated request id answers again, with other data it is refused', async () => {
      await write({ path: at('idempotent'), request_id: 'w1' }, 'one');
      await writeFile(at('idempotent'), 'since then');
      assert.equal((await write({ path: at('idempotent'), request_id: 'w1' }, 'on', 'e'))['written_bytes'], '3');
      assert.equal(await readFile(at('idempotent'), 'utf8'), 'since then');
      assert.equal(await reason(write({ path: at('idempotent'), request_id: 'w1' }, 'two')), 'REQUEST_ID_REUSED');
    });

    it('a large file costs no memory', async function () {
      this.timeout(120_000);
      const rss = async () =>
        Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${String(daemon.get().process.pid)}/status`, 'utf8'))?.[1]);
      const piece = { data: noise(256 * 1024) };
      const upload = async (megabytes: number) => {
        const { stream, answer } = daemon.get().stranger.upload('FileService/WriteFile');
        stream.write({ header: { path: at('large') } });
        let most = 0;
        for (let sent = 0; sent < megabytes * 4; sent++) {
          if (!stream.write(piece)) await new Promise((resolve) => stream.once('drain', resolve));
          if (sent % 64 === 0) most = Math.max(most, await rss());
        }
        stream.end();
        assert.equal((await answer)['written_bytes'], String(megabytes * MIB));
        return most;
      };
      const small = await upload(64);
      const large = await upload(512);
      assert.ok(large - small < 64 * 1024, `${String(small)} -> ${String(large)} KiB`);
      await rm(at('large'));
    });
  });
});

/** One root to write to, one to read only. */
function rootsOf(scratch: Scratch): string {
  const folder = (name: string) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`;
  return `${folder('images')}${folder('frozen')}access = "read-only"\n`;
}
