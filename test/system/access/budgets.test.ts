/** What one caller may hold in all, of each kind, and that others are served when it does. */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const [WATCHES, INCOMING] = [6, 5];

describe('what one caller may hold', () => {
  const scratch = scratchFolder();
  const socket = (name: string) => `unix://${scratch.path('daemon')}/${name}.sock`;
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      ...['greedy', 'modest'].map((name) => `[[listeners]]\naddress = "${socket(name)}"\nrole = "admin"`),
      '[limits]',
      `watches_per_caller = ${String(WATCHES)}`,
      `incoming_streams_per_caller = ${String(INCOMING)}`,
      'running_short_operations = 4',
      'running_operations = 4',
      'unread_seconds = 4',
      '[[commands]]\nname = "sleep"\nexecutable = "/bin/sleep"\narguments = ["\\\\d+"]\ntimeout_seconds = 100',
    ].join('\n'),
  }));
  let greedy: Stranger;
  let modest: Stranger;
  before(async () => {
    [greedy, modest] = [new Stranger(socket('greedy')), new Stranger(socket('modest'))];
    await mkdir(daemon.get().image('of'), { recursive: true });
  });
  after(() => {
    greedy.close();
    modest.close();
  });
  const image = (name: string) => daemon.get().image(name);

  /** Streams that nobody ends; the reason that each ended with so far. */
  const open = (rpc: string, request: Message, times: number) => {
    const reasons: string[] = [];
    const streams = Array.from({ length: times }, () => greedy.stream(rpc, request));
    let answered = 0;
    for (const stream of streams) {
      stream.once('data', () => (answered += 1));
      stream.resume();
      stream.once('error', (error) => reasons.push(new CallError(error as never).reason));
    }
    const close = async () => {
      const left = streams.filter((stream) => !stream.destroyed);
      for (const stream of left) stream.cancel();
      await until(() => reasons.length === times);
    };
    return { reasons, close, answered: () => answered };
  };

  it('streams that watch, of all kinds together', async () => {
    const filesystem = open('HostInfoService/WatchFilesystem', { path: image('of'), interval: { seconds: 60 } }, 4);
    await until(() => filesystem.answered() === 4);
    const operations = open('OperationService/WatchOperations', {}, 5);
    await until(() => operations.reasons.length === 3);
    assert.deepEqual(
      operations.reasons,
      Array.from({ length: 3 }, () => 'CALLER_AT_LIMIT'),
    );
    const others = modest.stream('HostInfoService/WatchFilesystem', { path: image('of') });
    await new Promise((resolve) => others.once('data', resolve));
    others.on('error', () => undefined).cancel();
    await Promise.all([filesystem.close(), operations.close()]);
    const again = open('HostInfoService/WatchFilesystem', { path: image('of') }, WATCHES);
    await until(() => again.answered() === WATCHES);
    await again.close();
  });

  it('streams in which it sends, and says nothing: they end by themselves', async () => {
    const write = (stranger: Stranger, name: string) => {
      const { stream, answer } = stranger.upload('FileService/WriteFile');
      stream.write({ header: { path: image(name) } });
      return failure(answer);
    };
    const silent = Array.from({ length: INCOMING }, (_, n) => write(greedy, `of/silent-${String(n)}`));
    await until(async () => (await failure(greedy.send('FileService/WriteFile', []))).reason === 'CALLER_AT_LIMIT');
    await modest.send('FileService/WriteFile', [{ header: { path: image('of/modest') } }, { data: Buffer.from('x') }]);
    assert.equal(await readFile(image('of/modest'), 'utf8'), 'x');
    assert.deepEqual(
      (await Promise.all(silent)).map(({ reason }) => reason),
      Array.from({ length: INCOMING }, () => 'CALLER_DEADLINE'),
    );
    assert.deepEqual(await daemon.get().leftovers(), []);
    await greedy.send('FileService/WriteFile', [{ header: { path: image('of/greedy') } }, { data: Buffer.from('y') }]);
  });

  it('uploads that nobody sends to', async () => {
    const start = (stranger: Stranger, name: string) =>
      stranger.unary('ImageService/StartUpload', { target: image(name), format: 'raw', length_bytes: '4096' });
    const ids: string[] = [];
    for (let n = 0; n < 48; n++) ids.push((await start(greedy, `of/u${String(n)}`))['upload_id'] as string);
    assert.equal((await failure(start(greedy, 'of/more'))).reason, 'CALLER_AT_LIMIT');
    for (let n = 0; n < 16; n++) ids.push((await start(modest, `of/m${String(n)}`))['upload_id'] as string);
    // Nobody waits for a day behind uploads that nobody sends to.
    const { reason, message } = await failure(start(modest, 'of/m-more'));
    assert.equal(reason, 'TOO_MANY_OPERATIONS', message);
    for (const operation_id of ids)
      await daemon.get().stranger.unary('OperationService/CancelOperation', { operation_id });
    await start(greedy, 'of/again');
  });

  it('commands that sleep', async () => {
    const sleeping = Array.from({ length: 8 }, () =>
      greedy.stream('CommandService/Execute', { name: 'sleep', args: ['60'] }),
    );
    for (const stream of sleeping) stream.on('error', () => undefined).resume();
    await until(async () => {
      const { operations = [] } = (await greedy.unary('OperationService/ListOperations', {
        filter: { methods: ['Execute'], states: ['OPERATION_STATE_QUEUED'] },
      })) as { operations?: Message[] };
      return operations.length === 5;
    });
    await modest.operation('ImageService/CreateImage', { path: image('of/made.raw'), format: 'raw', size: '1K' });
    for (const stream of sleeping) stream.cancel();
  });
});
