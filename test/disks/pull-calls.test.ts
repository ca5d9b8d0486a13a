/**
 * Each system call of a pull from another agent fails once, or does not come back: below the root
 * that it reads, and below the one that it writes.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultFilesystem } from '../support/faults/fault-filesystem.js';
import { fillStock } from '../support/faults/fault-cases.js';
import { leftovers } from '../support/files/names-below.js';
import { hangUnder } from '../support/faults/hanging-call.js';
import { LoopbackAgents } from '../support/hosts/loopback-agents.js';
import { CHANGING, LOOKING, empty, failEachCall, type FaultCase } from '../support/faults/nth-call.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

describe('the n-th call of a disk fails under a pull', () => {
  const scratch = scratchFolder();
  let agents: LoopbackAgents;
  const disks: FaultFilesystem[] = [];
  const disk = (index: number): FaultFilesystem => {
    const found = disks[index];
    if (found === undefined) throw new Error('before() has not run');
    return found;
  };
  before(async function () {
    for (const index of [0, 1])
      disks.push(await FaultFilesystem.mount(this, scratch, scratch.path(`agent-${String(index)}`, 'images')));
    await mkdir(scratch.path('stock'));
    await fillStock(scratch.path('stock'));
    await mkdir(scratch.path('near'));
    agents = await LoopbackAgents.start(scratch, 2, {
      pulls: 'patience_seconds = 0\n',
      more: `[limits]\nroot_patience_ms = 1000\n[[roots]]\npath = "${scratch.path('near')}"\n`,
    });
  });
  const target = () => join(disk(1).behind, 'source-at-1');
  const pull: FaultCase = {
    name: 'a pull',
    reset: () => Promise.all(disks.map(({ behind }) => empty(behind))),
    leftovers: async () => (await Promise.all(disks.map(({ behind }) => leftovers(behind)))).flat(),
    prepare: () => copyFile(scratch.path('stock/disk.raw'), join(disk(0).behind, 'source')),
    call: () =>
      agents.at(1).stranger.operation('ImageService/CopyImage', agents.pullRequest(0, 1, 'source', { verify: true })),
    done: () => sh('cmp', target(), scratch.path('stock/disk.raw')),
    failed: () => assert.rejects(stat(target()), /ENOENT/),
  };
  it('where it reads: each 13th call that looks, EIO', () =>
    failEachCall(disk(0), pull, { kinds: LOOKING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 13 }));
  it('where it reads: each 19th call that looks, ESTALE', () =>
    failEachCall(disk(0), pull, { kinds: LOOKING, errno: 'ESTALE', reasons: ['ROOT_UNAVAILABLE'], stride: 19 }));
  it('where it writes: each seventh call that changes something, EIO', () =>
    failEachCall(disk(1), pull, { kinds: CHANGING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 7 }));
  it('where it writes: each 19th call that changes something, ENOSPC', () =>
    failEachCall(disk(1), pull, { kinds: CHANGING, errno: 'ENOSPC', reasons: ['NO_SPACE'], stride: 19 }));
  it('where it writes: each 17th call that looks, EIO', () =>
    failEachCall(disk(1), pull, { kinds: LOOKING, errno: 'EIO', reasons: ['IO_ERROR'], stride: 17 }));
  for (const [index, where] of ['reads', 'writes'].entries())
    for (const part of [0.2, 0.6, 0.9])
      it(`where it ${where}: it stops answering after ${String(part)} of the calls`, () =>
        hangUnder(pull, { daemon: agents.at(1), disk: disk(index), part, near: scratch.path('near/image') }));
});
