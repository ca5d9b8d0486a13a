/** Files that are not images. */
import assert from 'node:assert/strict';
import { FileType } from '../../src/gen/hostler/v1/file_service.js';
import { written } from '../bench/bench.js';
import * as file from '../agent/file-rpcs.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';

export const fileCases = about('files', [
  {
    name: 'a file is written whole, and read back from any offset',
    run: async (at) => {
      const bytes = noise(MIB + 5);
      const { writtenBytes } = await at.agent.send(file.writeFile, written({ path: at.path('file') }, bytes));
      assert.equal(writtenBytes, BigInt(bytes.length));
      sameBytes(await at.content(at.path('file')), bytes);
      sameBytes(await at.content(at.path('file'), { offset: MIB, length: 3 }), bytes.subarray(MIB, MIB + 3));
      sameBytes(await at.content(at.path('file'), { offset: MIB + 1000 }), Buffer.alloc(0));
    },
  },
  {
    name: 'a file that is replaced keeps its mode',
    run: async (at) => {
      const path = at.path('file');
      await at.agent.send(file.writeFile, written({ path, umask: 0o137 }, Buffer.from('one')));
      await at.agent.send(file.writeFile, written({ path, umask: 0o077 }, Buffer.from('two')));
      const { mode, sizeBytes } = await at.agent.ask(file.statFile, { path });
      assert.deepEqual([mode & 0o777, sizeBytes], [0o640, 3n]);
    },
  },
  {
    name: 'data is written at an offset and at the end of an existing file',
    run: async (at) => {
      const path = await at.write('file', Buffer.from('0123456789'));
      await at.agent.send(file.writeFile, written({ path, offset: 3n }, Buffer.from('abc')));
      await at.agent.send(file.writeFile, written({ path, append: true }, Buffer.from('xyz')));
      assert.equal((await at.content(path)).toString(), '012abc6789xyz');
    },
  },
  {
    name: 'writing in place into a file that is not there is FILE_NOT_FOUND, and makes none',
    run: async (at) => {
      const path = at.path('file');
      await refused(at.agent.send(file.writeFile, written({ path, append: true }, Buffer.from('x'))), 'FILE_NOT_FOUND');
      await refused(at.agent.send(file.writeFile, written({ path, offset: 1n }, Buffer.from('x'))), 'FILE_NOT_FOUND');
      assert.equal(await at.exists(path), false);
    },
  },
  {
    name: 'offset and append together are INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('file', Buffer.from('x'));
      const header = { path, offset: 1n, append: true };
      await refused(at.agent.send(file.writeFile, written(header, Buffer.from('y'))), 'INVALID_FIELD');
    },
  },
  {
    name: 'a WriteFile without a header is INVALID_FIELD',
    run: async (at) => {
      const messages = [{ content: { $case: 'data' as const, value: Buffer.from('x') } }];
      await refused(at.agent.send(file.writeFile, messages), 'INVALID_FIELD');
    },
  },
  {
    name: 'StatFile says what a path is, and that nothing is at another',
    run: async (at) => {
      const path = await at.write('file', noise(5000));
      const stat = await at.agent.ask(file.statFile, { path });
      assert.deepEqual([stat.exists, stat.fileType, stat.sizeBytes], [true, FileType.FILE_TYPE_REGULAR, 5000n]);
      assert.notEqual(stat.modifyTime, undefined);
      assert.equal((await at.agent.ask(file.statFile, { path: at.folder })).fileType, FileType.FILE_TYPE_DIRECTORY);
      assert.equal(await at.exists(at.path('nothing')), false);
      assert.equal(await at.exists(`${path}/below-a-file`), false);
    },
  },
  {
    name: 'a file is deleted once; then it is FILE_NOT_FOUND, or with missing_ok a success',
    run: async (at) => {
      const path = await at.write('file', Buffer.from('x'));
      assert.equal((await at.agent.ask(file.deleteFile, { path })).existed, true);
      await refused(at.agent.ask(file.deleteFile, { path }), 'FILE_NOT_FOUND');
      assert.equal((await at.agent.ask(file.deleteFile, { path, missingOk: true })).existed, false);
    },
  },
  {
    name: 'DeleteFile refuses a folder',
    run: async (at) => {
      await at.agent.operate(file.createDirectory, { path: at.path('folder') });
      await refused(at.agent.ask(file.deleteFile, { path: at.path('folder') }), 'NOT_A_FILE');
    },
  },
  {
    name: 'TouchFile sets the time of a file to now, and makes none',
    run: async (at) => {
      const path = await at.write('file', Buffer.from('x'));
      const before = (await at.agent.ask(file.statFile, { path })).modifyTime;
      assert.equal((await at.agent.ask(file.touchFile, { path })).existed, true);
      const after = (await at.agent.ask(file.statFile, { path })).modifyTime;
      const nanos = (time: typeof after) => (time?.seconds ?? 0n) * 1_000_000_000n + BigInt(time?.nanos ?? 0);
      assert.ok(nanos(after) > nanos(before), 'the time went forward');
      assert.equal((await at.agent.ask(file.touchFile, { path: at.path('nothing') })).existed, false);
      assert.deepEqual(await at.names(), ['file']);
    },
  },
  {
    name: 'reading a folder is NOT_A_FILE, and reading nothing is FILE_NOT_FOUND',
    run: async (at) => {
      await refused(at.agent.read(file.readFile, { path: at.folder }), 'NOT_A_FILE');
      await refused(at.agent.read(file.readFile, { path: at.path('nothing') }), 'FILE_NOT_FOUND');
    },
  },
  {
    name: 'a name may have a comma, a quote, a newline, a dash at its begin, or 255 bytes',
    run: async (at) => {
      for (const name of ['a,b', 'a"b\'c', 'a\nb', '-rf', 'a b', 'ä€', 'n'.repeat(255)])
        sameBytes(await at.content(await at.write(name, Buffer.from(name))), Buffer.from(name), name);
    },
  },
  {
    name: 'a path that is relative, or has . or .. or an empty component, is INVALID_FIELD',
    run: async (at) => {
      for (const path of ['', 'file', `${at.folder}/./file`, `${at.folder}/../file`, `${at.folder}//file`])
        await invalid(at.agent.ask(file.statFile, { path }), 'path');
    },
  },
  {
    name: 'a path outside the roots is PATH_OUTSIDE_ROOTS, whether something is there or not',
    run: async (at) => {
      for (const path of ['/etc/passwd', '/nothing-is-here']) {
        await refused(at.agent.ask(file.statFile, { path }), 'PATH_OUTSIDE_ROOTS');
        await refused(at.agent.read(file.readFile, { path }), 'PATH_OUTSIDE_ROOTS');
      }
    },
  },
  {
    name: 'an owner changes to the one that it is, by number; an unknown name is INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('file', noise(KIB));
      const { uid, gid } = await at.agent.ask(file.statFile, { path });
      const owner = `${String(uid)}:${String(gid)}`;
      const { result } = await at.agent.operate(file.chown, { path, owner });
      assert.equal(result.result?.$case, 'chown');
      assert.equal(result.result.value.seenItems, 1n);
      await invalid(at.agent.operate(file.chown, { path, owner: 'nobody-has-this-name' }), 'owner');
    },
  },
]);
