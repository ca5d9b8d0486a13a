/**
 * Request ids of callers who have too many: counted a step at a time, and again only when there may
 * be too many.
 */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { JournalFile } from '../../../src/adapters/journal/journal-file.js';
import { Pruner } from '../../../src/adapters/journal/pruning.js';
import { encode } from '../../../src/adapters/journal/rows.js';
import { create } from '../../../src/adapters/journal/schema.js';
import { traitText } from '../../../src/adapters/journal/traits.js';
import { done, id, record } from '../../support/journals/records.js';

const NOW = 1e12;
const LIMIT = 3000;
const SLICE = 16;
const CALLERS = ['a', 'a"', '\\', 'x'.repeat(300)];

describe('callers with many request ids', () => {
  let file: JournalFile;
  let pruner: Pruner;
  let made = 0;
  const add = (caller: string, count: number, unfinished = false) => {
    const operations = Array.from({ length: count }, () => {
      const n = ++made;
      const more = { caller, requestId: `r${String(n * 7919)}`, labels: {} };
      return unfinished ? record(n, more) : done(n, { ...more, endTime: NOW });
    });
    file.write(operations.map((each) => ({ kind: 'operation', key: each.id, body: encode(each) })));
    return operations.map((each) => each.id);
  };
  const of = (caller: string) =>
    file
      .sql('SELECT id FROM traits WHERE trait = ? ORDER BY id')
      .all(traitText({ kind: 'caller', value: caller }))
      .map((row) => String(row['id']));
  /** Slices until there is no more to do; how many it took. */
  const prune = () => {
    for (let slices = 1; slices < 10_000; slices++) if (!pruner.slice(NOW, SLICE).more) return slices;
    throw new Error('it never ends');
  };

  beforeEach(() => {
    made = 0;
    const database = new DatabaseSync(':memory:');
    create(database);
    file = new JournalFile(database, () => NOW);
    pruner = new Pruner(file, { operations: LIMIT, ms: 1e15 });
  });

  it('nobody has too many: they are counted once, and not again before somebody may have', () => {
    for (const caller of CALLERS) add(caller, LIMIT - 100);
    assert.ok(prune() > CALLERS.length, 'counted in steps');
    for (let n = 0; n < 100; n++) {
      add('new', 1);
      assert.equal(prune(), 1, `after ${String(n)}`);
    }
    add('new', 1);
    assert.ok(prune() > 1, 'one of them may have too many now');
    assert.equal(file.operations, CALLERS.length * (LIMIT - 100) + 101);
  });

  for (const [n, caller] of CALLERS.entries())
    it(`the oldest of one who has too many go, and nobody else's: caller ${String(n)}`, () => {
      for (const each of CALLERS) add(each, LIMIT - 100);
      prune();
      const going = add(caller, 3, true);
      const all = [...of(caller), ...add(caller, 250)];
      prune();
      // Ended ones only: 153 too many, three of which go on.
      assert.deepEqual(of(caller), all.slice(150));
      for (const each of CALLERS.filter((other) => other !== caller)) assert.equal(of(each).length, LIMIT - 100);
      assert.ok(going.every((each) => of(caller).includes(each)));
    });

  for (const unfinished of [0, 1, 3])
    it(`those that come while a round goes on are not forgotten about: ${String(unfinished)} go on`, () => {
      const going = add('b', unfinished, true);
      const all = [...going, ...add('b', LIMIT + 40)];
      // The caller is counted, and the first of those that are too many go.
      while (of('b').length === all.length) assert.ok(pruner.slice(NOW, SLICE).more);
      all.push(...add('b', 100));
      prune();
      assert.deepEqual(of('b'), [...going, ...all.slice(-LIMIT)]);
    });

  it('one who has nothing but unfinished ones loses none, and the count comes to an end', () => {
    add('busy', LIMIT + 5, true);
    prune();
    assert.equal(of('busy').length, LIMIT + 5);
    assert.equal(file.unfinished()[0]?.key, id(1));
  });
});
