/**
 * A daemon is killed at each step of an upload, a pull and a push: the same request passes after
 * the next start, and nothing is left.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { noise } from '../support/images/disks.js';
import { LoopbackAgents } from '../support/hosts/loopback-agents.js';
import { scratchFolder } from '../support/scratch.js';
import { CallError, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const PIECE = 256 * 1024;
const CONTENT = noise(3 * MIB + 777);
const PULLS = 'segment_mib = 1\npatience_seconds = 20\n';

describe('killed while bytes move', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: LoopbackAgents;
  const [source, target] = [0, 1];

  before(async () => {
    agents = await LoopbackAgents.start(scratch, 2, { pulls: PULLS });
    await writeFile(agents.at(source).image('x'), CONTENT);
  });

  /** Starts one again, with a failpoint or without. */
  async function again(index: number, failpoint?: string): Promise<void> {
    const { process, exited, stranger } = agents.at(index);
    process.kill('SIGKILL');
    await exited;
    stranger.close();
    const more = failpoint === undefined ? '' : `[debug]\nfailpoints = ["${failpoint}"]\n`;
    await agents.restart(index, { pulls: PULLS, more });
  }

  /** The request, until it is answered; how often it was asked. */
  async function insist(ask: () => Promise<unknown>): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        await ask();
        return tries;
      } catch (error) {
        // The daemon has gone, or it says that one has.
        assert.ok(error instanceof CallError, String(error));
        const passing = ['', 'AGENT_RESTARTED', 'REMOTE_UNREACHABLE', 'STALLED', 'PATH_BUSY'];
        assert.ok(passing.includes(error.reason), `${error.reason} ${error.message}`);
        assert.ok(tries < 40);
        // Such as a copy there that goes on by itself.
        await sleep(500);
      }
    }
  }

  async function assertWhole(name: string): Promise<void> {
    const path = agents.at(target).image(name);
    assert.ok((await readFile(path)).equals(CONTENT));
    for (const index of [source, target]) {
      await until(async () => {
        const { operations = [] } = (await agents.at(index).stranger.unary('OperationService/ListOperations', {
          filter: { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] },
        })) as { operations?: Message[] };
        return operations.length === 0;
      }, 20_000);
      assert.deepEqual(await agents.at(index).leftovers(), []);
    }
    await rm(path);
  }

  const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(CONTENT).digest('hex') };
  const steps = ['admitted', 'started', 'prepare', 'reserve', 'checkpoint', 'verify', 'seal', 'identify', 'commit'];
  for (const step of [...steps, 'publish', 'published', 'cleaned'])
    it(`UploadImage at ${step}`, async () => {
      await again(target, `UploadImage:${step}:kill`);
      const request = {
        ...{ target: agents.at(target).image('x-up'), format: 'raw', length_bytes: String(CONTENT.length) },
        request_id: `upload-${step}`,
      };
      const ids = new Set<unknown>();
      const upload = async () => {
        const { stranger } = agents.at(target);
        const {
          upload_id: id,
          committed_bytes = '0',
          info,
        } = await stranger.unary('ImageService/StartUpload', request);
        ids.add(id);
        if (info !== undefined && info !== null) return;
        const messages: Message[] = [{ header: { upload_id: id, offset: committed_bytes } }];
        for (let at = Number(committed_bytes); at < CONTENT.length; at += PIECE)
          messages.push({ data: CONTENT.subarray(at, at + PIECE) });
        await stranger.send('ImageService/UploadImage', [...messages, { checksum }]);
      };
      await assert.rejects(upload());
      assert.equal(await agents.at(target).exited, null);
      await again(target);
      await insist(upload);
      // It is one upload, also where it had its name before the daemon ended.
      assert.ok(ids.size <= 1);
      // And a caller that did not hear the answer comes back to it.
      const late = await agents.at(target).stranger.unary('ImageService/StartUpload', request);
      assert.deepEqual([late['upload_id'], late['committed_bytes']], [[...ids][0], String(CONTENT.length)]);
      assert.equal((late['info'] as Message)['path'], request.target);
      await assertWhole('x-up');
    });

  const pulling = ['prepare', 'checkpoint', 'reserve', 'segment', 'seal', 'verify', 'commit', 'publish', 'published'];
  for (const [way, failing, failpoints] of [
    ['pull', target, pulling.map((step) => `CopyImage:${step}`)],
    ['pull', source, ['OpenExport:admitted', 'OpenExport:serve', 'DigestImage:digest']],
    ['push', source, ['CopyImage:started', 'CopyImage:ask', 'OpenExport:serve']],
    ['push', target, ['CopyImage:checkpoint', 'CopyImage:segment', 'CopyImage:commit', 'CopyImage:cleaned']],
  ] as const)
    for (const failpoint of failpoints)
      it(`a ${way}, ${failing === source ? 'whence it comes' : 'whither it goes'}, at ${failpoint}`, async () => {
        await again(failing, `${failpoint}:kill`);
        const asked = way === 'pull' ? target : source;
        const request = () => {
          const more = { verify: true, request_id: `${way}-${failpoint}` };
          return way === 'pull'
            ? agents.pullRequest(source, target, 'x', more)
            : agents.pushRequest(source, target, 'x', more);
        };
        const copy = () => agents.at(asked).stranger.operation('ImageService/CopyImage', request());
        const first = copy().catch((error: unknown) => error);
        assert.equal(await agents.at(failing).exited, null);
        await again(failing);
        await first;
        await insist(copy);
        await assertWhole(`x-at-${String(target)}`);
      });
});
