/** Uploads outlive the daemon: what had come stays, under the same id. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { access, readFile, rm, truncate } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { allocatedBytes, noise } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const PIECE = 256 * 1024;
/** Zeros in the middle: nobody reads so many again. */
const HOLE = 2 ** 40;
const HEAD = noise(5 * MIB);
const TAIL = noise(MIB + 777);
const LENGTH = HEAD.length + HOLE + TAIL.length;

function pieces(data: Buffer): Message[] {
  const all: Message[] = [];
  for (let at = 0; at < data.length; at += PIECE) all.push({ data: data.subarray(at, at + PIECE) });
  return all;
}

describe('uploads while the daemon starts again', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const image = (name: string) => scratch.path('daemon/images', name);
  let daemon: Daemon;

  before(async () => {
    daemon = await Daemon.start(scratch.path('daemon'));
    scratch.onEnd(() => daemon.stop());
  });

  let name = 0;
  beforeEach(() => {
    name++;
  });
  const target = () => image(String(name));
  const begin = async (request: Message = {}) =>
    daemon.stranger.unary('ImageService/StartUpload', {
      target: target(),
      format: 'raw',
      length_bytes: String(LENGTH),
      data_bytes: String(HEAD.length + TAIL.length),
      ...request,
    });
  const send = async (id: unknown, offset: number, ...messages: Message[]) =>
    daemon.stranger.send('ImageService/UploadImage', [
      { header: { upload_id: id, offset: String(offset) } },
      ...messages,
    ]);
  const operation = async (id: unknown) =>
    (await daemon.stranger.unary('OperationService/GetOperation', { operation_id: id }))['operation'] as Message;
  const doneBytes = async (id: unknown) =>
    Number((((await operation(id))['last'] as Message)['progress'] as Message | undefined)?.['done_bytes'] ?? 0);

  /**
   * Sends the pieces over a connection that stays; ends the daemon when they have come; what the
   * caller hears.
   */
  async function endInTheMiddle(id: unknown, offset: number, data: Buffer, signal: NodeJS.Signals): Promise<string> {
    const before = await doneBytes(id);
    const { stream, answer } = daemon.stranger.upload('ImageService/UploadImage');
    const heard = failure(answer);
    stream.write({ header: { upload_id: id, offset: String(offset) } });
    for (const piece of pieces(data)) stream.write(piece);
    await until(async () => (await doneBytes(id)) - before === data.length);
    daemon.process.kill(signal);
    const { reason } = await heard;
    await daemon.exited;
    daemon.stranger.close();
    daemon = await Daemon.start(scratch.path('daemon'));
    return reason;
  }

  /** As DigestImage's comment says: over the digests of blocks. */
  const blockChecksum = (): Message => {
    const block = 4 * MIB;
    const sha256 = (data: Buffer) => createHash('sha256').update(data).digest();
    const all = createHash('sha256').update(sha256(HEAD.subarray(0, block)));
    all.update(sha256(Buffer.concat([HEAD.subarray(block), Buffer.alloc(2 * block - HEAD.length)])));
    const zero = sha256(Buffer.alloc(block));
    const zeros = (LENGTH - (LENGTH % block)) / block - 2;
    for (let done = 0; done < zeros; done++) all.update(zero);
    const last = Buffer.concat([Buffer.alloc(HEAD.length - block), TAIL]);
    all.update(sha256(last.subarray(0, LENGTH % block)));
    return { algorithm: 'sha256-4m-blocks', digest: all.digest('hex') };
  };

  async function assertWhole(): Promise<void> {
    assert.ok((await allocatedBytes(target())) <= HEAD.length + TAIL.length + MIB);
    await truncate(target(), HEAD.length);
    assert.ok((await readFile(target())).equals(HEAD));
    assert.deepEqual(await daemon.leftovers(), []);
    await rm(target());
  }

  for (const signal of ['SIGKILL', 'SIGTERM'] as const)
    it(`${signal}: goes on under the same id`, async () => {
      const { upload_id: id } = await begin();
      const reason = await endInTheMiddle(id, 0, HEAD, signal);
      if (signal === 'SIGTERM') assert.equal(reason, 'SHUTTING_DOWN');
      await assert.rejects(access(target()));
      assert.equal((await operation(id))['attempt'], 2);
      const again = await begin();
      assert.equal(again['upload_id'], id);
      const committed = Number(again['committed_bytes'] ?? 0);
      // A fortieth of it all, at most 64 MiB, is not durable yet; the connection's end makes the
      // rest durable.
      assert.ok(committed <= HEAD.length);
      await send(id, committed, ...pieces(HEAD.subarray(committed)), { zero_bytes: String(HOLE) }, ...pieces(TAIL), {
        checksum: blockChecksum(),
      });
      await assertWhole();
    });

  it('what was durable before a crash does not come again', async () => {
    const { upload_id: id } = await begin();
    await send(id, 0, ...pieces(HEAD), { zero_bytes: String(HOLE) });
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    daemon.stranger.close();
    daemon = await Daemon.start(scratch.path('daemon'));
    const again = await begin();
    assert.deepEqual([again['upload_id'], again['committed_bytes']], [id, String(HEAD.length + HOLE)]);
    assert.equal(await doneBytes(id), 0);
    await send(id, HEAD.length + HOLE, ...pieces(TAIL), { checksum: blockChecksum() });
    const result = ((await operation(id))['last'] as Message)['result'] as Message;
    assert.ok(JSON.stringify(result).includes(String(HEAD.length + TAIL.length)));
    await assertWhole();
  });

  it('another algorithm, and what came after the last checkpoint does not count', async () => {
    const small = { length_bytes: String(HEAD.length), data_bytes: String(HEAD.length) };
    const { upload_id: id } = await begin(small);
    await send(id, 0, { data: HEAD.subarray(0, PIECE) });
    await endInTheMiddle(id, PIECE, noise(3 * PIECE), 'SIGKILL');
    const { committed_bytes: committed } = await begin(small);
    assert.equal(committed, String(PIECE));
    const now = Buffer.concat([HEAD.subarray(0, PIECE), Buffer.alloc(HEAD.length - PIECE)]);
    const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(now).digest('hex') };
    await send(id, PIECE, { zero_bytes: String(HEAD.length - PIECE) }, { checksum });
    assert.ok((await readFile(target())).equals(now));
    await rm(target());
  });

  it('a cancel after the start leaves nothing', async () => {
    const { upload_id: id } = await begin();
    await send(id, 0, { data: HEAD.subarray(0, PIECE) });
    await daemon.stop();
    daemon = await Daemon.start(scratch.path('daemon'));
    assert.equal((await daemon.leftovers()).length > 0, true);
    await daemon.stranger.unary('OperationService/CancelOperation', { operation_id: id });
    assert.deepEqual(await daemon.leftovers(), []);
    assert.equal((await failure(send(id, PIECE, ...pieces(TAIL)))).reason, 'UPLOAD_NOT_FOUND');
  });

  it('where the folder is gone it begins again', async () => {
    const { upload_id: id } = await begin();
    await send(id, 0, { data: HEAD.subarray(0, PIECE) });
    await daemon.stop();
    for (const name of await daemon.leftovers()) await rm(image(name), { recursive: true, force: true });
    daemon = await Daemon.start(scratch.path('daemon'));
    const { upload_id: now, committed_bytes: committed = '0' } = await begin();
    assert.deepEqual([now, committed], [id, '0']);
    await send(id, 0, ...pieces(HEAD), { zero_bytes: String(HOLE) }, ...pieces(TAIL), { checksum: blockChecksum() });
    await assertWhole();
  });
});
