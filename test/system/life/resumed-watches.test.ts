/** WatchOperations with a cursor: nothing is missed, and nothing comes twice. */
import assert from 'node:assert/strict';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { endPlace } from '../../../src/domain/operations/ends.js';
import { allOver } from '../../support/at-work.js';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { openJournal } from '../../support/journals/journals.js';
import { done } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const WATCH = 'OperationService/WatchOperations';
const LIST = 'OperationService/ListOperations';

/** One event of WatchOperations. */
interface Heard {
  readonly id: string;
  readonly state: string;
  readonly cursor: string;
  readonly change: Message;
}

const FINAL = ['SUCCEEDED', 'FAILED', 'CANCELLED'].map((state) => `OPERATION_STATE_${state}`);

/** Watches all operations of a daemon, and goes on after each end of its stream. */
class ResumingWatcher {
  readonly heard: Heard[] = [];
  /** With which its streams ended. */
  readonly errors: Error[] = [];
  #stream: ClientReadableStream<Message> | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly filter: Message,
    /** Where it goes on; that of the last event. */
    public cursor = '',
  ) {}

  /** Opens its stream; one that is open is left before. */
  async open({ stranger }: { readonly stranger: Stranger }): Promise<void> {
    await this.leave();
    const request = { filter: this.filter, cursor: this.cursor };
    const stream = stranger.stream('OperationService/WatchOperations', request);
    this.#stream = stream;
    stream.on('data', (change: Message) => {
      // What was under way to a caller that has left was not read.
      if (this.#stream !== stream) return;
      this.cursor = String(change['cursor']);
      const event = change['event'] as Record<string, string> | undefined;
      if (event === undefined) return;
      const { operation_id, state } = event;
      this.heard.push({ id: operation_id ?? '', state: state ?? '', cursor: this.cursor, change });
    });
    stream.on('error', (error: Error) => this.errors.push(error));
    this.#ended = new Promise((resolve) => stream.once('close', resolve));
  }

  async leave(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
    await this.#ended;
  }

  /** Ids of operations whose end it has heard, each as often as it has. */
  get ends(): string[] {
    return this.heard.filter(({ state }) => FINAL.includes(state)).map(({ id }) => id);
  }
}

describe('a watch of all operations that goes on', () => {
  const scratch = scratchFolder();
  let made = 0;
  const start = async (options: DaemonOptions = {}, folder = scratch.path(`d${String(++made)}`)) => {
    const daemon = await Daemon.start(folder, options);
    scratch.onEnd(() => daemon.stop());
    return daemon;
  };
  const create = (daemon: Daemon, name: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CreateImage', {
      ...{ path: daemon.image(name), format: 'raw', size: '1K' },
      ...more,
    });
  const listed = async (daemon: Daemon, request: Message = {}) => {
    const ids: string[] = [];
    for (let page_token = ''; ;) {
      const page = await daemon.stranger.unary(LIST, { page_size: 1000, ...request, page_token });
      ids.push(...((page['operations'] ?? []) as Message[]).map(({ operation_id }) => String(operation_id)));
      page_token = (page['next_page_token'] as string | undefined) ?? '';
      if (page_token === '') return ids;
    }
  };
  const firstCursor = async (daemon: Daemon) => String((await daemon.stranger.unary(LIST, {}))['cursor']);

  it('has what happened between, in the order of the ends, each once', async () => {
    const daemon = await start();
    const labels = { watch: 'yes' };
    const watcher = new ResumingWatcher({ labels });
    await watcher.open(daemon);
    // Answered on the same connection, so the watch has arrived.
    await allOver(daemon.stranger);
    const ends: string[] = [];
    for (let round = 0; round < 5; round++) {
      await create(daemon, `seen-${String(round)}`, { labels });
      await until(() => watcher.ends.length === ends.length + 1);
      await watcher.leave();
      await create(daemon, `other-${String(round)}`);
      for (let n = 0; n < 3; n++) await create(daemon, `missed-${String(round)}-${String(n)}`, { labels });
      ends.push(...(await listed(daemon, { filter: { labels } })).slice(ends.length));
      await watcher.open(daemon);
      await until(() => watcher.ends.length === ends.length);
    }
    assert.deepEqual(watcher.ends, ends);
    const events = watcher.heard.map(({ id, change }) => `${id} ${eventOf(change)}`);
    assert.deepEqual(events, [...new Set(events)]);
    await watcher.leave();
  });

  it('begins where a list was read', async () => {
    const daemon = await start();
    for (const name of ['one', 'two']) await create(daemon, name);
    const page = await daemon.stranger.unary(LIST, { page_size: 1 });
    await create(daemon, 'after');
    const [, , after] = await listed(daemon);
    const next = await daemon.stranger.unary(LIST, { page_size: 1, page_token: page['next_page_token'] });
    assert.equal(next['cursor'] ?? '', '', 'of the first page only');
    const watcher = new ResumingWatcher({}, String(page['cursor']));
    await watcher.open(daemon);
    await until(() => watcher.heard.length > 0);
    assert.deepEqual(watcher.ends, [after]);
    await watcher.leave();
  });

  it('holds when the daemon is killed while operations run, again and again', async () => {
    let daemon = await start();
    await writeFile(daemon.image('noise.raw'), noise(8 << 20, 21));
    const watcher = new ResumingWatcher({});
    for (let round = 0; round < 4; round++) {
      await watcher.open(daemon);
      await allOver(daemon.stranger);
      const slow = {
        ...{ source: daemon.image('noise.raw'), source_format: 'raw', target_format: 'qcow2', detach: true },
        ...{ target: daemon.image(`slow-${String(round)}`), bandwidth_bytes_per_second: '65536' },
      };
      const stream = daemon.stranger.stream('ImageService/ConvertImage', slow);
      stream.on('error', () => undefined); // the daemon is killed
      stream.resume();
      const busy = Array.from({ length: 6 }, (_, n) =>
        create(daemon, `r${String(round)}-${String(n)}`, { detach: true }).catch((error: unknown) => error),
      );
      await until(() => watcher.heard.length > 3 * round);
      if (round % 2 === 0) await watcher.leave();
      daemon.process.kill('SIGKILL');
      await Promise.all([daemon.exited, ...busy]);
      daemon.stranger.close();
      daemon = await start({}, daemon.folder);
    }
    await watcher.open(daemon);
    const all = await listed(daemon);
    await until(() => watcher.ends.length >= all.length);
    assert.deepEqual([...watcher.ends].sort(), all);
    // A state comes again only after another one: what resumes is queued again.
    for (const id of all) {
      const states = watcher.heard.filter((each) => each.id === id).map(({ change }) => eventOf(change));
      assert.deepEqual(states, [...new Set(states)], id);
    }
    await watcher.leave();
  });

  it('has no more than the role of its caller may see', async () => {
    const socket = scratch.path('own.sock');
    const images = scratch.path(`d${String(made + 1)}`, 'images');
    const role = `services = ["ImageService", "OperationService"]\noperations = "own"\nread = ["${images}"]\nwrite = ["${images}"]`;
    const listener = `[[listeners]]\naddress = "unix://${socket}"\nrole = "own"\n`;
    const daemon = await start({ toml: `[roles.own]\n${role}\n${listener}` });
    const own = new Stranger(`unix://${socket}`);
    scratch.onEnd(() => {
      own.close();
      return Promise.resolve();
    });
    const watcher = new ResumingWatcher({}, String((await own.unary(LIST, {}))['cursor']));
    for (const name of ['a', 'b']) {
      await create(daemon, `${name}-admin`);
      await own.operation('ImageService/CreateImage', { path: `${images}/${name}-own`, format: 'raw', size: '1K' });
    }
    await create(daemon, 'c-admin');
    await watcher.open({ stranger: own });
    await until(() => watcher.ends.length >= 2);
    const paths = watcher.heard.map(({ change }) => (change['addresses'] as string[])[0]);
    assert.deepEqual(paths, [`${images}/a-own`, `${images}/b-own`]);
    await watcher.leave();
  });

  it('refuses a cursor that was changed, cut, made up, or sent to another caller or by another daemon', async () => {
    const other = scratch.path('other.sock');
    const listeners = `[[listeners]]\naddress = "unix://${other}"\nrole = "viewer"\n`;
    const [daemon, elsewhere] = [await start({ toml: listeners }), await start()];
    const viewer = new Stranger(`unix://${other}`);
    scratch.onEnd(() => {
      viewer.close();
      return Promise.resolve();
    });
    const cursor = await firstCursor(daemon);
    const refused = async (wrong: string, who = daemon.stranger) => {
      const error = await failure(who.all(WATCH, { cursor: wrong }));
      assert.deepEqual([error.reason, error.fields], ['INVALID_FIELD', ['cursor']], wrong);
      return error.message;
    };
    for (let at = 0; at < cursor.length; at += 3) {
      const char = cursor[at] === '0' ? '1' : '0';
      await refused(`${cursor.slice(0, at)}${char}${cursor.slice(at + 1)}`);
    }
    for (const wrong of [
      cursor.slice(1),
      cursor.slice(0, -1),
      `${cursor}0`,
      cursor.toUpperCase(),
      'x',
      '\u{1f4be}',
      '-',
    ])
      assert.match(await refused(wrong), /must be a cursor that this daemon has sent/);
    assert.match(await refused(await firstCursor(elsewhere)), /must be a cursor that this daemon has sent/);
    const theirs = String((await viewer.unary(LIST, {}))['cursor']);
    assert.match(await refused(theirs), /was sent to another caller/);
    assert.match(await refused(cursor, viewer), /was sent to another caller/);
  });

  it('says that a cursor is older than the history, and that of a new list is not', async () => {
    const daemon = await start({ toml: '[limits]\nhistory_operations = 3\n' });
    const old = await firstCursor(daemon);
    for (let n = 0; n < 8; n++) await create(daemon, `n${String(n)}`);
    await until(async () => (await listed(daemon)).length === 3);
    const error = await failure(daemon.stranger.all(WATCH, { cursor: old }));
    assert.equal(error.reason, 'CURSOR_TOO_OLD');
    assert.match(error.message, /list the operations/);
    const watcher = new ResumingWatcher({}, await firstCursor(daemon));
    await watcher.open(daemon);
    await create(daemon, 'new');
    await until(() => watcher.ends.length === 1);
    await watcher.leave();
  });

  it('reads 10,000 missed operations as fast as its caller, and holds none of them for one that never reads', async () => {
    const folder = scratch.path('long');
    await mkdir(folder);
    const options = { toml: '[limits]\nunread_seconds = 600\n' };
    const first = await start(options, folder);
    const cursor = await firstCursor(first);
    await first.stop();
    const { journal } = await openJournal(`${folder}/state`);
    const labels = { fill: 'x'.repeat(256) };
    const one = (n: number) => done(n, { caller: 'long', labels, endPlace: endPlace(journal.life, n + 1) });
    await Promise.all(Array.from({ length: 10_000 }, (_, n) => journal.put(one(n))));
    await journal.close();
    const daemon = await start(options, folder);
    const memory = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(daemon.process.pid)}/status`, 'utf8'))?.[1]);
    const before = memory();
    const sleepers = Array.from({ length: 20 }, () => new Stranger(daemon.address));
    for (const sleeper of sleepers) {
      const stream = sleeper.stream(WATCH, { cursor });
      stream.on('error', () => undefined); // it is cancelled
      await new Promise((resolve) => stream.once('data', resolve));
      stream.pause();
    }
    const grown = memory() - before;
    assert.ok(grown < 60 * 1024, `grew by ${String(grown)} KiB`);
    for (const sleeper of sleepers) sleeper.close();
    const watcher = new ResumingWatcher({ methods: ['CopyImage'] }, cursor);
    await watcher.open(daemon);
    await until(() => watcher.ends.length >= 10_000);
    assert.deepEqual(
      watcher.ends,
      Array.from({ length: 10_000 }, (_, n) => done(n).id),
    );
    await watcher.leave();
  });
});

function eventOf(change: Message): string {
  const { state, progress, event_time } = change['event'] as Message;
  return JSON.stringify([state, progress, event_time]);
}
