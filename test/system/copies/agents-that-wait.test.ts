/**
 * Agents that copy from and to each other never wait for each other in a ring, and nobody is waited
 * for without a limit.
 */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { begun } from '../../support/begun.js';
import { noise, sameBytes } from '../../support/images/disks.js';
import { LoopbackAgents } from '../../support/hosts/loopback-agents.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const ONE = '[limits]\nrunning_operations = 1\n';
const VERIFY = { verify: true };

describe('three agents with one slot each', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: LoopbackAgents;
  const EACH = [0, 1, 2];

  before(async () => {
    // Several streams into one file, too.
    agents = await LoopbackAgents.start(scratch, 3, { pulls: 'segment_mib = 1\nstreams = 8\n', more: ONE });
    for (const index of EACH)
      for (const name of ['x', 'y', 'z'])
        await writeFile(agents.at(index).image(`${name}${String(index)}`), noise(3 * MIB, index + 1));
  });

  type Copy = readonly [way: 'pull' | 'push', from: number, to: number, name: string];
  async function copyAll(copies: readonly Copy[]): Promise<void> {
    const copy = async ([way, from, to, name]: Copy) => {
      const [asked, request] =
        way === 'pull'
          ? [to, agents.pullRequest(from, to, name, VERIFY)]
          : [from, agents.pushRequest(from, to, name, VERIFY)];
      const result = await agents.at(asked).stranger.operation('ImageService/CopyImage', request);
      assert.equal((result['copy'] as Message)['verified'], true);
      const target = agents.at(to).image(`${name}-at-${String(to)}`);
      assert.ok(await sameBytes(agents.at(from).image(name), target));
      await rm(target);
    };
    await Promise.all(copies.map(copy));
    for (const index of EACH) assert.deepEqual(await agents.at(index).leftovers(), []);
  }
  const names = (index: number) => ['x', 'y', 'z'].map((name) => `${name}${String(index)}`);

  it('two pull from each other', () =>
    copyAll([
      ...names(0).map((name) => ['pull', 0, 1, name] as const),
      ...names(1).map((name) => ['pull', 1, 0, name] as const),
    ]));

  it('two push to each other', () =>
    copyAll([
      ...names(0).map((name) => ['push', 0, 1, name] as const),
      ...names(1).map((name) => ['push', 1, 0, name] as const),
    ]));

  it('one pulls from and pushes to another', () =>
    copyAll([
      ...names(0).map((name) => ['push', 0, 1, name] as const),
      ...names(1).map((name) => ['pull', 1, 0, name] as const),
    ]));

  it('each pulls from the next, in a ring', () =>
    copyAll(EACH.flatMap((index) => names(index).map((name) => ['pull', index, (index + 1) % 3, name] as const))));

  it('each pushes to the next and pulls from the one before', () =>
    copyAll(
      EACH.flatMap((index) => {
        const [one = '', two = ''] = names(index);
        const next = (index + 1) % 3;
        return [['push', index, next, one] as const, ['pull', index, next, two] as const];
      }),
    ));

  it("a digest for a peer is that peer's alone", async () => {
    const request = { path: agents.at(0).image('x0'), peer: 'dns:somebody.example' };
    // Whoever is no agent may say so: it is his to count among exports.
    await agents.at(0).stranger.operation('ImageService/DigestImage', request);
  });
});

describe('a far agent that does not go on', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  const PULLS = 'patience_seconds = 0\nanswer_seconds = 10\nsilence_seconds = 4\n';
  let agents: LoopbackAgents;
  const [far, near] = [0, 1];

  before(async () => {
    agents = await LoopbackAgents.start(scratch, 2, { pulls: PULLS });
    await writeFile(agents.at(far).image('x'), noise(MIB));
    await writeFile(agents.at(near).image('y'), noise(MIB));
  });

  /** Nothing that is paused ends, but by the daemon's end. */
  async function pausedAt(failpoint: string): Promise<void> {
    const { process, exited, stranger } = agents.at(far);
    process.kill('SIGKILL');
    await exited;
    stranger.close();
    await agents.restart(far, { pulls: PULLS, more: `[debug]\nfailpoints = ["${failpoint}:pause"]\n` });
  }
  const pull = () => agents.pullRequest(far, near, 'x', VERIFY);
  const push = () => agents.pushRequest(near, far, 'y', VERIFY);

  for (const [what, failpoint, request, reason] of [
    ['its digest of a pull', 'DigestImage:digest', pull, 'STALLED'],
    ['its export of a pull', 'OpenExport:serve', pull, 'REMOTE_UNREACHABLE'],
    ['its own pull, which we asked for', 'CopyImage:segment', push, 'STALLED'],
  ] as const) {
    it(`${what}: the copy fails in the end`, async () => {
      await pausedAt(failpoint);
      const asked = agents.at(near).stranger.all('ImageService/CopyImage', request());
      assert.equal((await failure(asked)).reason, reason);
    });

    it(`${what}: a cancel ends the copy all the same`, async () => {
      await pausedAt(failpoint);
      const { stranger } = agents.at(near);
      const { id } = await begun(stranger, 'ImageService/CopyImage', request(), 0);
      await until(async () => {
        const { operations = [] } = (await agents.at(far).stranger.unary('OperationService/ListOperations', {
          filter: { methods: [failpoint.split(':')[0]], states: ['OPERATION_STATE_RUNNING'] },
        })) as { operations?: Message[] };
        return operations.length > 0;
      }, 20_000);
      const [ended] = (await stranger.unary('OperationService/CancelOperation', { operation_id: id }))[
        'operations'
      ] as Message[];
      assert.equal(ended?.['state'], 'OPERATION_STATE_CANCELLED');
    });
  }

  after(() => {
    agents.at(far).process.kill('SIGKILL');
  });
});
