/**
 * A watch that goes on where another one ended, over lives of the daemon: any watcher that leaves
 * and comes back at any time has heard of each change once, and of each operation's last one.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { Ends, endPlace, lifeOf } from '../../../src/domain/operations/ends.js';
import { OperationHub, type WatchPosition } from '../../../src/domain/operations/hub.js';
import { isFinal, type OperationRecord, type OperationState } from '../../../src/domain/operations/record.js';
import { MemoryJournal } from '../../support/journals/memory-journal.js';
import { record } from '../../support/journals/records.js';
import { until } from '../../support/until.js';

describe('the order of ends', () => {
  it('is that of lives, then that of the ends in them', () => {
    const places = [
      [0, 1],
      [0, 35],
      [0, 36],
      [1, 0],
      [35, 5],
      [36, 1],
      [2 ** 53 - 1, 1e13],
    ] as const;
    const texts = places.map(([life, number]) => endPlace(life, number));
    assert.deepEqual([...texts].sort(), texts);
    assert.deepEqual(
      texts.map(lifeOf),
      places.map(([life]) => life),
    );
  });

  it('is the order in which they are announced, whatever their records take, and a failure holds up nobody', async () => {
    const ends = new Ends(7);
    const announced: string[] = [];
    const end = (ms: number, work: () => OperationRecord) =>
      ends.inTurn(
        async (place) => {
          if (ms > 0) await sleep(ms);
          return { ...work(), endPlace: place };
        },
        ({ endPlace: place = '' }) => announced.push(place),
      );
    const fails = () => {
      throw new Error('not recorded');
    };
    const all = await Promise.allSettled([
      ...[end(30, () => record(1)), end(0, () => record(2)), end(10, fails)],
      ...[end(0, () => record(4)), end(5, () => record(5))],
    ]);
    assert.deepEqual(
      all.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
    );
    assert.deepEqual(
      announced,
      [1, 2, 4, 5].map((number) => endPlace(7, number)),
    );
  });
});

/** A host whose operations change at random. */
class Host {
  readonly journal = new MemoryJournal(1e6);
  readonly live = new Map<string, OperationRecord>();
  /** Every state that an operation has had, in order. */
  readonly history = new Map<string, string[]>();
  hub: OperationHub;
  #life = 1;
  #ended = 0;
  #last = 0;

  constructor(
    private readonly random: (below: number) => number,
    private readonly progress: boolean,
  ) {
    this.hub = new OperationHub(0, this.#life);
  }

  async step(): Promise<void> {
    const ids = [...this.live.keys()];
    const id = ids[this.random(ids.length)];
    if (id === undefined || this.random(3) === 0) return this.#become(record(++this.#last), 'QUEUED');
    const before = this.live.get(id);
    if (before === undefined) return;
    const next: OperationState[] = before.state === 'QUEUED' ? ['RUNNING', 'FAILED'] : ['SUCCEEDED', 'CANCELLING'];
    const after = before.state === 'CANCELLING' ? 'CANCELLED' : (next[this.random(2)] ?? 'FAILED');
    if (this.progress && this.random(4) === 0) this.hub.publish(before, false);
    await this.#become(before, after);
  }

  /** Some go on, the others have failed. */
  async restart(): Promise<void> {
    this.#life += 1;
    this.#ended = 0;
    this.hub = new OperationHub(0, this.#life);
    for (const each of [...this.live.values()]) await this.#become(each, this.random(2) === 0 ? 'FAILED' : 'QUEUED');
  }

  async #become(before: OperationRecord, state: OperationState): Promise<void> {
    const place = isFinal(state) ? { endPlace: endPlace(this.#life, ++this.#ended) } : {};
    const after = { ...before, state, eventTime: before.eventTime + 1, ...place };
    await this.journal.put(after);
    if (isFinal(state)) this.live.delete(after.id);
    else this.live.set(after.id, after);
    this.history.set(after.id, [...(this.history.get(after.id) ?? []), nameOf(after)]);
    this.hub.publish(after, true);
  }
}

const nameOf = ({ state, eventTime }: OperationRecord) => `${state} ${String(eventTime)}`;

/** What it has heard, by operation. */
class Watcher {
  readonly heard = new Map<string, string[]>();
  #position: WatchPosition;
  #leave = new AbortController();
  #watching = Promise.resolve();

  constructor(
    private readonly matches: (record: OperationRecord) => boolean,
    private readonly progress: boolean,
    { hub }: Host,
  ) {
    this.#position = hub.position;
  }

  /** Reads until it leaves, after so many changes or by itself. */
  come({ hub, live, journal }: Host, most: number): void {
    const abort = (this.#leave = new AbortController());
    const from = { position: this.#position, ended: endedIn(journal) };
    const read = async () => {
      let left = most;
      for await (const change of hub.watch([...live.values()], this.matches, abort.signal, from)) {
        if (change.record !== undefined) this.#hear(change.record);
        this.#position = change.position;
        if (--left === 0) return;
      }
    };
    this.#watching = read().catch((error: unknown) => {
      if (!(error instanceof HostlerError)) throw error;
    });
  }

  leave(): Promise<void> {
    this.#leave.abort(new HostlerError('CANCELLED', 'left'));
    return this.#watching;
  }

  #hear(each: OperationRecord): void {
    const known = this.heard.get(each.id) ?? [];
    // Progress repeats the state.
    if (this.progress && known.at(-1) === nameOf(each) && !isFinal(each.state)) return;
    this.heard.set(each.id, [...known, nameOf(each)]);
  }
}

/** Pages of two, so that there are many. */
function endedIn(journal: MemoryJournal) {
  return async function* ended(behind: string, upTo: string): AsyncGenerator<OperationRecord, void> {
    for (let at: string | undefined = behind; at !== undefined;) {
      const page: Awaited<ReturnType<MemoryJournal['ended']>> = await journal.ended([], at, upTo, 2);
      assert.ok(page !== undefined);
      yield* page.records;
      at = page.reached;
    }
  };
}

/** The same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a watcher that leaves and comes back', () => {
  const odd = ({ id }: OperationRecord) => Number(id.at(-1)) % 2 === 1;
  for (const [whose, matches, progress] of [
    ['all operations', () => true, false],
    ['some operations', odd, false],
    ['some operations and their progress', odd, true],
  ] as const)
    for (let seed = 1; seed <= 10; seed++)
      it(`hears of ${whose}, each change once and none missing: ${String(seed)}`, async () => {
        const random = randomOf(seed);
        const host = new Host(random, progress);
        const watcher = new Watcher(matches, progress, host);
        for (let round = 0; round < 25; round++) {
          watcher.come(host, 1 + random(20));
          for (let n = random(12); n > 0; n--) {
            await host.step();
            if (random(3) === 0) await new Promise(setImmediate);
          }
          await watcher.leave();
          for (let n = random(12); n > 0; n--) await host.step();
          if (random(4) === 0) await host.restart();
        }
        watcher.come(host, Infinity);
        const wanted = [...host.history].filter(([id]) => matches(record(Number(id.slice(18)))));
        await until(() => wanted.every(([id, states]) => watcher.heard.get(id)?.at(-1) === states.at(-1)));
        await watcher.leave();
        assert.equal(watcher.heard.size, wanted.length);
        for (const [id, states] of wanted) {
          const heard = watcher.heard.get(id) ?? [];
          assert.deepEqual(heard, [...new Set(heard)], `${id} twice`);
          assert.deepEqual(
            states.filter((state) => heard.includes(state)),
            heard,
            `${id} in its order`,
          );
        }
      });
});

describe('a watcher to whom nothing belongs', () => {
  it('hears how far it has come, once for each time that it has', async () => {
    const hub = new OperationHub(0, 1, 1);
    const abort = new AbortController();
    const watch = hub.watch([], ({ id }) => id === record(9).id, abort.signal);
    const next = async () => {
      const { value } = await watch.next();
      assert.ok(value !== undefined);
      return [value.record?.id, value.position.moved, value.position.moved === hub.position.moved] as const;
    };
    assert.deepEqual(await next(), [undefined, 0, true]);
    for (let n = 0; n < 3; n++) hub.publish(record(n), true);
    assert.deepEqual(await next(), [undefined, 3, true]);
    hub.publish(record(9), true);
    assert.deepEqual(await next(), [record(9).id, 4, true]);
    // Nothing has happened since.
    const later = next();
    for (let turns = 0; turns < 20; turns++) await sleep(1);
    hub.publish(record(9), true);
    assert.deepEqual(await later, [record(9).id, 5, true]);
    abort.abort(new HostlerError('CANCELLED', 'x'));
    await assert.rejects(watch.next(), { reason: 'CANCELLED' });
  });
});
