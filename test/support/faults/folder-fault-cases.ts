/** What works on folders and names, on a disk with faults. */
import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bench } from './fault-cases.js';
import type { FaultCase } from './nth-call.js';
import { sh } from '../shell.js';
import type { Message } from '../stranger.js';

const TREE = ['a', 'a/b', 'a/b/file', 'file'];

export function folderFaultCases({ daemon, disk }: Pick<Bench, 'daemon' | 'disk'>): FaultCase[] {
  const at = (name: string) => join(disk().path, name);
  const behind = (name: string) => join(disk().behind, name);
  const run = (rpc: string, request: Message) => daemon().stranger.operation(`FileService/${rpc}`, request);
  const gone = (name: string) => assert.rejects(stat(behind(name)), /ENOENT/);
  const whole = async (name: string) =>
    assert.deepEqual((await readdir(behind(name), { recursive: true })).toSorted(), TREE);
  const tree = async () => {
    await mkdir(behind('tree/a/b'), { recursive: true });
    for (const name of ['file', 'a/b/file']) await writeFile(behind(`tree/${name}`), 'x');
  };
  const overlays = ['one', 'two'];
  /** The base and each header have this name, and no other is left. */
  const named = async (name: string) => {
    assert.deepEqual((await readdir(behind(''))).toSorted(), [name, ...overlays].toSorted());
    for (const each of overlays) {
      const info = JSON.parse(await sh('qemu-img', 'info', '--output=json', behind(each))) as Message;
      assert.equal(info['backing-filename'], at(name));
    }
  };
  return [
    {
      name: 'CreateDirectory',
      prepare: () => Promise.resolve(),
      call: () => run('CreateDirectory', { path: at('new/a/b'), parents: true }),
      done: () => stat(behind('new/a/b')),
      failed: () => gone('new'),
    },
    {
      name: 'RemoveDirectory',
      prepare: () => mkdir(behind('empty')),
      call: () => run('RemoveDirectory', { path: at('empty'), missing_ok: true }),
      done: () => gone('empty'),
      failed: () => stat(behind('empty')),
    },
    {
      name: 'RemoveDirectory of a tree',
      prepare: tree,
      call: () => run('RemoveDirectory', { path: at('tree'), recursive: true, missing_ok: true }),
      done: () => gone('tree'),
      failed: () => whole('tree'),
    },
    {
      name: 'ListDirectory',
      prepare: tree,
      call: () => daemon().stranger.unary('FileService/ListDirectory', { path: at('tree') }),
      done: () => whole('tree'),
    },
    {
      name: 'MoveFile',
      prepare: tree,
      call: () => run('MoveFile', { source: at('tree'), target: at('moved') }),
      done: () => whole('moved'),
      failed: () => whole('tree'),
    },
    {
      name: 'MoveFile that rewrites headers',
      prepare: async () => {
        const create = ['qemu-img', 'create', '-q', '-u', '-f', 'qcow2'] as const;
        await sh(...create, behind('base'), '1M');
        for (const name of overlays) await sh(...create, '-b', at('base'), '-F', 'qcow2', behind(name), '1M');
      },
      call: () => run('MoveFile', { source: at('base'), target: at('new'), rewrite_backing_files: true }),
      done: () => named('new'),
      failed: () => named('base'),
    },
  ];
}
