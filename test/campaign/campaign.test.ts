/**
 * Mixed work of several callers for minutes, while callers leave and cancel, the daemon is killed,
 * and the disk with its state is full, broken, read-only, and well again, all by chance. No image
 * is lost, no answer is wrong, nothing is left.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { FaultFilesystem, type Fault } from '../support/faults/fault-filesystem.js';
import { FaultServer } from '../support/servers/fault-server.js';
import { Relay } from '../support/servers/relay.js';
import { scratchFolder } from '../support/scratch.js';
import { randomNumbers } from '../support/soak.js';
import { CallError, Stranger, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';
import { Workload, complaintsOf, type Caller } from '../support/workload.js';

const MIB = 1 << 20;
const SECONDS = Number(process.env['CAMPAIGN_SECONDS'] ?? 180);
const SEED = Number(process.env['SEED'] ?? 1);
const CALLERS = ['one', 'two', 'three', 'four', 'five'];
const KILLS_TO_CLEAN = 20;
/** A line that broke is tried again at once. */
const LINE = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 20,
  'grpc.max_reconnect_backoff_ms': 100,
};

/** How the disk with the state fails: all calls of a kind until it is well again. */
const FAULTS: readonly Fault[] = [
  { kinds: ['write', 'create', 'mkdir'], errno: 'ENOSPC', times: 0 },
  { kinds: ['write', 'create', 'unlink', 'rename', 'truncate'], errno: 'EROFS', times: 0 },
  { kinds: ['fsync'], errno: 'EIO', times: 0 },
  { kinds: ['write', 'fsync', 'read'], errno: 'EIO', times: 0 },
  { kinds: ['write'], errno: 122, times: 0 },
  { kinds: ['fsync'], errno: 'EIO', times: 1 },
  { kinds: ['write'], errno: 'EIO', times: 1, nth: 3 },
];

/** What a call may end with while things go wrong around it. */
const EXPECTED = [
  ...['STATE_UNAVAILABLE', 'CANCELLED', 'CALLER_DEADLINE', 'AGENT_RESTARTED', 'SHUTTING_DOWN'],
  // The name of an earlier try that was cut off, or is still being cleaned up.
  ...['TARGET_EXISTS', 'PATH_BUSY', 'IMAGE_NOT_FOUND', 'TOO_MANY_OPERATIONS'],
];

/** How a broken connection and a deadline of the caller's look to the caller. */
const OF_THE_LINE: readonly number[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED];

/**
 * Uploads wait for what is still to come, which is nothing; what was kept of those that failed
 * would wait for its time.
 */
async function cancelAll(daemon: Daemon): Promise<void> {
  await cancel(daemon, [{ states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] }, { kept_only: true }]);
}

async function cancel({ stranger }: Daemon, filters: readonly Message[]): Promise<void> {
  for (const filter of filters) {
    const { operations = [] } = (await stranger.unary('OperationService/ListOperations', {
      filter,
      page_size: 1000,
    })) as { operations?: Message[] };
    for (const { operation_id } of operations)
      await stranger.unary('OperationService/CancelOperation', { operation_id }).catch((error: unknown) => {
        // Ended meanwhile.
        if (!(error instanceof CallError) || error.reason !== 'NOT_CANCELLABLE') throw error;
      });
  }
}

describe('a campaign', () => {
  const scratch = scratchFolder();
  const random = randomNumbers(SEED);
  const findings: string[] = [];
  const reasons = new Map<string, number>();
  let state: FaultFilesystem;
  let workload: Workload;

  const heard = ({ reason, code, message }: CallError, rpc: string): void => {
    // A connection that broke, or a deadline of the caller's, has no reason.
    const name = reason === '' ? (status[code] ?? String(code)) : reason;
    reasons.set(name, (reasons.get(name) ?? 0) + 1);
    const isOfTheLine = reason === '' && OF_THE_LINE.includes(code);
    if (!isOfTheLine && !EXPECTED.includes(reason)) findings.push(`${rpc}: ${name} ${message}`);
  };

  before(async function () {
    state = await FaultFilesystem.mount(this, scratch, scratch.path('state'));
    for (const folder of ['images', 'fixtures', 'cache']) await mkdir(scratch.path(folder));
    const server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    for (const name of ['a', 'b']) {
      await writeFile(scratch.path('fixtures', name), noise(2 * MIB));
      server.add(name, await readFile(scratch.path('fixtures', name)));
    }
    workload = new Workload({
      images: scratch.path('images'),
      fixtures: scratch.path('fixtures'),
      random,
      cancels: true,
      origin: server.origin,
      callers: await Promise.all(CALLERS.map(callerOf)),
      onFailure: heard,
    });
  });

  const socket = (name: string) => scratch.path('daemon', `${name}.sock`);
  /** Somebody of their own to the daemon, behind a line that can be cut. */
  const callerOf = async (name: string): Promise<Caller> => {
    const relay = await Relay.start(scratch.path(`${name}.sock`), socket(name));
    const stranger = new Stranger(`unix://${scratch.path(`${name}.sock`)}`, undefined, LINE);
    scratch.onEnd(async () => {
      stranger.close();
      await relay.close();
    });
    return {
      stranger: () => stranger,
      cutLine: () => {
        relay.cut();
      },
    };
  };
  const start = (): Promise<Daemon> =>
    Daemon.start(scratch.path('daemon'), {
      toml: [
        ...CALLERS.map((name) => `[[listeners]]\naddress = "unix://${socket(name)}"\nrole = "admin"`),
        `[cache]\npath = "${scratch.path('cache')}"\n`,
        // The disk of the images is well: it is only slow, beside other work of the machine.
        '[limits]\nroot_patience_ms = 30000',
      ].join('\n'),
      roots: `[[roots]]\npath = "${scratch.path('images')}"\n[[roots]]\npath = "${scratch.path('fixtures')}"\n`,
      stateFolder: state.path,
    });

  it(`${String(SECONDS)} s of kills and a failing state disk: no image lost, no wrong answer, nothing left`, async () => {
    let daemon = await start();
    scratch.onEnd(() => daemon.stop());
    let [kills, faults] = [0, 0];
    const work = workload.run(daemon);
    for (const end = Date.now() + SECONDS * 1000; Date.now() < end;) {
      await sleep(200 + random() * 1500);
      if (random() < 0.5) {
        await state.fail(FAULTS[Math.floor(random() * FAULTS.length)] ?? { kinds: ['write'] });
        faults += 1;
        await sleep(random() * 1500);
      }
      if (random() < 0.4) {
        const dead = daemon;
        const { succeeded } = await workload.around(async () => {
          dead.process.kill('SIGKILL');
          await dead.exited;
        });
        kills += 1;
        // With a state disk that fails a start is refused, or goes on reading; the next one finds
        // the disk well again.
        const early = random() < 0.3 ? await start().catch(() => undefined) : undefined;
        await state.heal();
        daemon = early ?? (await start());
        // Work goes on meanwhile: only what was acknowledged as an operation is asked for.
        findings.push(...(await complaintsOf({ allowed: new Map(), succeeded }, daemon)));
        workload.use(daemon);
        dead.stranger.close();
        // Those that lost their callers would take the places of all others.
        if (kills % KILLS_TO_CLEAN === 0)
          await cancel(daemon, [{ states: ['OPERATION_STATE_RUNNING'], methods: ['UploadImage'] }]);
      }
      await state.heal();
    }
    workload.stop();
    await work;
    await state.heal();
    await cancelAll(daemon);
    await until(async () => (await daemon.leftovers(scratch.path('images'))).length === 0);
    assert.equal(await daemon.stop(), 0);
    findings.push(...(await workload.settle()));
    const counts = [...reasons].map(([reason, count]) => `${reason} ${String(count)}`).join(', ');
    process.stdout.write(
      `      ${String(kills)} kills, ${String(faults)} faults, ${String(workload.done)} changes acknowledged; ended otherwise: ${counts}\n`,
    );
    assert.deepEqual(findings, []);
    // What was made is looked at afterwards: the more, the longer the campaign.
  }).timeout((2 * SECONDS + 300) * 1000);
});
