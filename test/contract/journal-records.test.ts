/** Every kind of record comes back from the journal as it went in. */
import assert from 'node:assert/strict';
import { asAddress } from '../../src/domain/model/address.js';
import type { ImageInfo } from '../../src/domain/model/image-info.js';
import type { OperationResult } from '../../src/domain/operations/results.js';
import { openJournal } from '../support/journals/journals.js';
import { done, id, record } from '../support/journals/records.js';
import { scratchFolder } from '../support/scratch.js';

const address = asAddress('/images/a,b\n.qcow2');
const snapshot = { id: '1', name: '\0n5', createTimeMs: 7, virtualSizeBytes: 8n, vmStateBytes: 0n };
const info: Required<ImageInfo> = {
  format: 'qcow2',
  virtualSizeBytes: 2n ** 63n,
  clusterSizeBytes: 65536n,
  backingFile: 'b',
  backingFormat: 'raw',
  encrypted: false,
  dirty: true,
  corrupt: false,
  dataFile: 'd',
  snapshots: [snapshot],
  compat: '1.1',
  compressionType: 'zstd',
  lazyRefcounts: true,
  extendedL2: false,
  refcountBits: 16,
  subformat: 'monolithicFlat',
  vhdSizeFrom: 'chs',
  untoldSizeBytes: 9n,
  extentNames: ['e'],
  described: {
    contentId: 'c0ffee',
    parentContentId: 'ffffffff',
    extents: [
      { kind: 'flat', lengthBytes: 4n, offsetBytes: 1n, name: 'e' },
      { kind: 'zero', lengthBytes: 4n, offsetBytes: 0n },
    ],
  },
  oldEncryption: 'aes',
  sectorBytes: 4096,
  holdsLuks: true,
  luksVersion: 1,
  findings: [{ reason: 'INTERRUPTED', message: 'm' }],
  address,
  fileLengthBytes: 5n,
  allocatedBytes: 6n,
  fullBackingFile: '/b',
  inUse: false,
};
const moved = { movedBytes: 1n, skippedBytes: 2n };
/** One of each. */
const RESULTS: { readonly [Kind in OperationResult['kind']]: Extract<OperationResult, { kind: Kind }> } = {
  image: { kind: 'image', info, changed: false, method: 'm', why: 'w', ...moved },
  copy: {
    kind: 'copy',
    target: address,
    lengthBytes: 1n,
    allocatedBytes: 2n,
    engine: 'e',
    why: 'w',
    verified: true,
    ...moved,
  },
  digest: { kind: 'digest', algorithm: 'sha256', digest: 'd', lengthBytes: 3n },
  fetch: { kind: 'fetch', info, networkBytes: 1n, fromCache: true, checksum: 'c', lengthBytes: 2n, cacheId: 'i' },
  export: { kind: 'export', lengthBytes: 4n },
  cached: { kind: 'cached', cacheId: 'i' },
  delete: { kind: 'delete', existed: true, freedBytes: 1n, items: 2n },
  check: {
    kind: 'check',
    clean: true,
    corruptions: 1n,
    leaks: 2n,
    checkErrors: 3n,
    corruptionsFixed: 4n,
    leaksFixed: 5n,
  },
  compare: { kind: 'compare', equal: false, firstDifferenceBytes: 9n, message: 'm' },
  snapshot: { kind: 'snapshot', snapshot },
  chown: { kind: 'chown', changedItems: 1n, seenItems: 2n },
  write: { kind: 'write', writtenBytes: 1n, sha256: 's' },
  touch: { kind: 'touch', existed: false },
  directory: { kind: 'directory', existed: false, topmostPath: asAddress('/images/a'), madeItems: 2 },
  move: { kind: 'move', path: asAddress('/images/b'), replaced: true, rewrittenItems: 1 },
  execute: { kind: 'execute', exitCode: 137, attempts: 2 },
  plan: { kind: 'plan', method: 'm', why: 'w', moveBytes: 1n, needBytes: 2n, freeBytes: 3n },
};

describe('records of the journal', () => {
  const scratch = scratchFolder();

  it('operations with every kind of result come back as they were', async () => {
    const { journal, heard } = await openJournal(scratch.path());
    for (const [n, result] of Object.values(RESULTS).entries()) {
      const whole = done(n, { result, commit: { address, made: { device: 1n, inode: 2n ** 60n }, result } });
      await journal.put(whole);
      assert.deepEqual(await journal.get(id(n)), whole, result.kind);
    }
    const all = record(90, {
      requestId: 'r',
      startTime: 5,
      phase: 'CLONING',
      progress: { doneBytes: 1n, totalBytes: 2n, skippedBytes: 3n, doneItems: 4n, bytesPerSecond: 5n, etaMs: 6.5 },
      pid: 7,
      pidStart: '8',
      queuePosition: 9,
      replayed: true,
      state: 'FAILED',
      error: {
        reason: 'NO_SPACE',
        message: 'm',
        facts: { a: 'b' },
        violations: [{ field: 'f', description: 'd' }],
        retryAfterMs: 5,
      },
      warnings: [{ reason: 'CLEANUP_FAILED', message: 'm' }],
    });
    await journal.put(all);
    assert.deepEqual(await journal.get(id(90)), all);
    assert.deepEqual(heard, []);
    await journal.close();
  });

  it('marks, resume entries and entries of the cache come back as they were, and go', async () => {
    const { journal } = await openJournal(scratch.path());
    const mark = { device: 2n ** 40n, inode: 3n, birthTimeNs: 9n, address, operationId: id(1), method: 'ResizeImage' };
    const resume = {
      key: '["k"]',
      operationId: id(1),
      formerId: id(0),
      method: 'CopyImage',
      labels: { a: 'b' },
      address,
      checkpoint: { offset: '5' },
      kept: { sinceMs: 1, bytes: 2n },
    };
    const cached = {
      id: 'c',
      key: 'k',
      source: 's',
      checksum: 'sha256:0',
      validator: '"v"',
      verified: true,
      info,
      inode: 4n,
      modifyTimeNs: 5n,
      fileSha256: 'f',
      createTimeMs: 6,
      useTimeMs: 7,
      pinned: true,
    };
    await Promise.all([journal.putMark(mark), journal.putResumeEntry(resume), journal.putCacheEntry(cached)]);
    assert.deepEqual(
      [await journal.marks(), await journal.resumeEntries(), await journal.cacheEntries()],
      [[mark], [resume], [cached]],
    );
    await Promise.all([journal.removeMark(mark), journal.removeResumeEntry(resume), journal.removeCacheEntry(cached)]);
    assert.deepEqual(
      [await journal.marks(), await journal.resumeEntries(), await journal.cacheEntries()],
      [[], [], []],
    );
    await journal.close();
  });
});
