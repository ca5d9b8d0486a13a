/** Folders and names. */
import assert from 'node:assert/strict';
import { FileType } from '../../src/gen/hostler/v1/file_service.js';
import type { DirectoryResult } from '../../src/gen/hostler/v1/operation.js';
import type { Done } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { trusted } from '../runner/needs.js';

const make = (at: Bench, path: string, parents = false) => at.agent.operate(file.createDirectory, { path, parents });
const remove = (at: Bench, path: string, recursive = false) =>
  at.agent.operate(file.removeDirectory, { path, recursive });
const move = (at: Bench, from: string, to: string, more: { overwrite?: boolean; rewriteBackingFiles?: boolean } = {}) =>
  at.agent.operate(file.moveFile, { source: from, target: to, ...more });

function folderOf({ result: { result } }: Done): DirectoryResult {
  assert.equal(result?.$case, 'directory');
  return result.value;
}

const folders = about('folders', [
  {
    name: 'a folder is made; one that is there already is a success that says so',
    run: async (at) => {
      const path = at.path('folder');
      assert.deepEqual(folderOf(await make(at, path)), { existed: false, topmostPath: path, madeItems: 1 });
      assert.equal(folderOf(await make(at, path)).existed, true);
      assert.equal((await at.agent.ask(file.statFile, { path })).fileType, FileType.FILE_TYPE_DIRECTORY);
    },
  },
  {
    name: 'a folder whose parent is missing is PARENT_NOT_FOUND, and with parents all are made',
    run: async (at) => {
      const path = at.path('a/b/c');
      await refused(make(at, path), 'PARENT_NOT_FOUND');
      assert.deepEqual(await at.names(), []);
      assert.deepEqual(folderOf(await make(at, path, true)), {
        existed: false,
        topmostPath: at.path('a'),
        madeItems: 3,
      });
    },
  },
  {
    name: 'a folder where a file is, or below one, is TARGET_EXISTS',
    run: async (at) => {
      const path = await at.write('file', noise(KIB));
      await refused(make(at, path), 'TARGET_EXISTS');
      await refused(make(at, `${path}/below`, true), 'TARGET_EXISTS');
    },
  },
  {
    name: 'an empty folder is removed; one that is not empty is DIRECTORY_NOT_EMPTY without recursive',
    run: async (at) => {
      await make(at, at.path('a/b'), true);
      await refused(remove(at, at.path('a')), 'DIRECTORY_NOT_EMPTY');
      await remove(at, at.path('a/b'));
      await remove(at, at.path('a'));
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'with recursive a folder goes with all that is in it',
    run: async (at) => {
      await make(at, at.path('a/b'), true);
      await at.write('a/b/file', noise(KIB));
      const { result } = await remove(at, at.path('a'), true);
      assert.equal(result.result?.$case, 'deletion');
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'removing a folder that is not there is FILE_NOT_FOUND, or with missing_ok a success',
    run: async (at) => {
      const path = at.path('nothing');
      await refused(remove(at, path), 'FILE_NOT_FOUND');
      const { result } = await at.agent.operate(file.removeDirectory, { path, missingOk: true });
      assert.equal(result.result?.$case, 'deletion');
      assert.equal(result.result.value.existed, false);
    },
  },
  {
    name: 'RemoveDirectory refuses a file: NOT_A_DIRECTORY',
    run: async (at) => {
      await refused(remove(at, await at.write('file', noise(KIB)), true), 'NOT_A_DIRECTORY');
    },
  },
  {
    name: 'a root is never removed: DIRECTORY_RESERVED',
    run: async (at) => {
      // Without recursive: it would be refused as not empty too, and nothing goes if it is not.
      await refused(remove(at, at.world.root.path), 'DIRECTORY_RESERVED');
    },
  },
  {
    name: 'a folder with the base of an image elsewhere is not removed: IMAGE_HAS_DEPENDANTS',
    needs: [trusted],
    run: async (at) => {
      await make(at, at.path('bases'));
      const base = await at.write('bases/base.raw', noise(MIB));
      await at.overlay('top.qcow2', base, 'raw');
      await refused(remove(at, at.path('bases'), true), 'IMAGE_HAS_DEPENDANTS');
      sameBytes(await at.content(base), noise(MIB));
    },
  },
  {
    name: 'a folder is listed in the order of the bytes of its names',
    run: async (at) => {
      const names = ['ä', 'b', 'B', 'a', '10', '9', '-'];
      for (const name of names) await at.write(name, noise(3));
      const sorted = names.toSorted((one, two) => Buffer.compare(Buffer.from(one), Buffer.from(two)));
      const { entries } = await at.agent.ask(file.listDirectory, { path: at.folder });
      assert.deepEqual(
        entries.map(({ name, fileType, sizeBytes }) => [name, fileType, sizeBytes]),
        sorted.map((name) => [name, FileType.FILE_TYPE_REGULAR, 3n]),
      );
    },
  },
  {
    name: 'the pages of a folder have each name once',
    run: async (at) => {
      const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
      for (const name of names) await at.write(name, noise(1));
      const found: string[] = [];
      for (let pageToken = ''; ;) {
        const page = await at.agent.ask(file.listDirectory, { path: at.folder, pageSize: 3, pageToken });
        found.push(...page.entries.map(({ name }) => name));
        pageToken = page.nextPageToken;
        if (pageToken === '') break;
      }
      assert.deepEqual(found, names);
    },
  },
  {
    name: 'a list of a file is NOT_A_DIRECTORY, and of nothing FILE_NOT_FOUND',
    run: async (at) => {
      const path = await at.write('file', noise(1));
      await refused(at.agent.ask(file.listDirectory, { path }), 'NOT_A_DIRECTORY');
      await refused(at.agent.ask(file.listDirectory, { path: at.path('nothing') }), 'FILE_NOT_FOUND');
    },
  },
]);

const moves = about('moves', [
  {
    name: 'a file and a folder get another name, and lose the old one',
    run: async (at) => {
      await make(at, at.path('folder'));
      const from = await at.write('file', noise(KIB));
      const { result } = await move(at, from, at.path('folder/moved'));
      assert.equal(result.result?.$case, 'fileMove');
      await move(at, at.path('folder'), at.path('other'));
      assert.deepEqual([await at.names(), await at.names(at.path('other'))], [['other'], ['moved']]);
      sameBytes(await at.content(at.path('other/moved')), noise(KIB));
    },
  },
  {
    name: 'a name that is taken is TARGET_EXISTS, and with overwrite a file is replaced',
    run: async (at) => {
      const [from, to] = [await at.write('one', noise(KIB)), await at.write('two', noise(KIB, 2))];
      await refused(move(at, from, to), 'TARGET_EXISTS');
      const { result } = await move(at, from, to, { overwrite: true });
      assert.equal(result.result?.$case, 'fileMove');
      assert.equal(result.result.value.replaced, true);
      sameBytes(await at.content(to), noise(KIB));
    },
  },
  {
    name: 'what is not there is FILE_NOT_FOUND, and a folder that is not there PARENT_NOT_FOUND',
    run: async (at) => {
      await refused(move(at, at.path('nothing'), at.path('other')), 'FILE_NOT_FOUND');
      const from = await at.write('file', noise(KIB));
      await refused(move(at, from, at.path('nothing/file')), 'PARENT_NOT_FOUND');
      assert.deepEqual(await at.names(), ['file']);
    },
  },
  {
    name: 'a base that an image names is not moved, and the image still finds it',
    needs: [trusted],
    run: async (at) => {
      const base = await at.write('base.raw', noise(MIB));
      const overlay = await at.overlay('top.qcow2', base, 'raw');
      await refused(move(at, base, at.path('moved.raw')), 'IMAGE_HAS_DEPENDANTS');
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'with rewrite_backing_files the image gets the new name of its base',
    needs: [trusted],
    run: async (at) => {
      const base = await at.write('base.raw', noise(MIB));
      const overlay = await at.overlay('top.qcow2', base, 'raw');
      const { result } = await move(at, base, at.path('moved.raw'), { rewriteBackingFiles: true });
      assert.equal(result.result?.$case, 'fileMove');
      assert.equal(result.result.value.rewrittenItems, 1);
      assert.equal((await at.info(overlay, 'qcow2')).backingFile, at.path('moved.raw'));
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'a folder cannot be moved into itself',
    run: async (at) => {
      await make(at, at.path('folder'));
      const call = move(at, at.path('folder'), at.path('folder/inside'));
      await assert.rejects(call);
      assert.deepEqual(await at.names(), ['folder']);
    },
  },
]);

export const folderCases = [...folders, ...moves];
