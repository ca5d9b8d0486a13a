/** An operation that takes a folder with all that is in it is alone in it. */
import assert from 'node:assert/strict';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { LockTable, type LockKey } from '../../../src/domain/operations/resources/locks.js';

describe('locks of trees', () => {
  const holder = (operationId: string) => ({ operationId, method: 'Test', sinceMs: 0 });
  const key = (path: string, mode: LockKey['mode'] = 'write'): LockKey => ({ key: `1:${path}`, mode, path });
  const tree = (path: string): LockKey => ({ ...key(path), tree: true });
  const busy = (work: () => unknown) => {
    assert.throws(work, (error) => error instanceof HostlerError && error.reason === 'PATH_BUSY');
  };

  it('nobody begins below one, and one does not begin where somebody is at work', () => {
    const locks = new LockTable();
    const release = locks.acquire(holder('a'), [tree('/root/tree')]);
    for (const mode of ['read', 'write'] as const)
      for (const path of ['/root/tree', '/root/tree/x', '/root/tree/x/y'])
        busy(() => locks.acquire(holder('b'), [key(path, mode)]));
    busy(() => locks.acquire(holder('b'), [tree('/root')]));
    for (const path of ['/root/trees', '/root/tre', '/root/other/tree']) locks.acquire(holder('b'), [key(path)])();
    release();
    assert.equal(locks.size, 0);
    const reading = locks.acquire(holder('b'), [key('/root/tree/x', 'read')]);
    busy(() => locks.acquire(holder('a'), [tree('/root/tree')]));
    reading();
    locks.acquire(holder('a'), [tree('/root/tree')])();
    assert.equal(locks.size, 0);
  });

  it('by whatever links a path below it is named', () => {
    const locks = new LockTable();
    const led = (path: string, realPath: string): LockKey => ({ ...key(path, 'read'), realPath });
    const release = locks.acquire(holder('a'), [{ ...tree('/link/tree'), realPath: '/root/tree' }]);
    busy(() => locks.acquire(holder('b'), [led('/alias/x', '/root/tree/x')]));
    locks.acquire(holder('b'), [led('/link/tree/x', '/elsewhere/x')])();
    release();
    locks.acquire(holder('b'), [led('/alias/x', '/root/tree/x')]);
    busy(() => locks.acquire(holder('a'), [{ ...tree('/link/tree'), realPath: '/root/tree' }]));
  });

  it('the same operation is not in its own way, and gets more', () => {
    const locks = new LockTable();
    const releases = [tree('/root/tree'), key('/root/tree/x'), key('/root/tree/x')].map((each) =>
      locks.acquire(holder('a'), [each]),
    );
    busy(() => locks.acquire(holder('b'), [key('/root/tree/x')]));
    for (const release of releases) release();
    assert.equal(locks.size, 0);
  });

  it('what is refused leaves nothing locked', () => {
    const locks = new LockTable();
    const reading = locks.acquire(holder('b'), [key('/root/tree/x', 'read')]);
    busy(() => locks.acquire(holder('a'), [key('/root/free'), tree('/root/tree')]));
    reading();
    assert.equal(locks.size, 0);
    locks.acquire(holder('c'), [key('/root/tree/x')])();
  });

  it('tells what others hold, a name in a folder as the folder', () => {
    const locks = new LockTable();
    locks.acquire(holder('a'), [{ key: '1:2/name', mode: 'write', path: '/root/name' }]);
    locks.acquire(holder('b'), [{ key: '1:3', mode: 'read', path: '/root/image' }]);
    assert.deepEqual([...locks.heldByOthers('c').keys()], ['1:2', '1:3']);
    assert.deepEqual([...locks.heldByOthers('a').keys()], ['1:3']);
    assert.match(locks.heldByOthers('a').get('1:3')?.message ?? '', /\/root\/image is being worked on/);
  });
});
