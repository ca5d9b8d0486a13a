/** The table of metrics, and the values of its labels, follow the code. */
import assert from 'node:assert/strict';
import { METRICS } from '../../src/adapters/telemetry/metrics/metric-table.js';
import {
  ENGINES_OF_VERBS,
  REFUSAL_KINDS,
  engineOf,
  labelOf,
  reasonLabel,
  toolLabel,
} from '../../src/adapters/telemetry/metrics/label-values.js';
import { SpaceWatch } from '../../src/domain/host/space-watch.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import { deferred } from '../../src/domain/model/async.js';
import { RPC_TABLE } from '../../src/handlers/rpc-table.js';
import { expiryOf } from '../../src/protocol/certificate-expiry.js';
import { turns } from '../support/event-loop.js';

/** RPCs that change something, or show content, and are no operations. */
const NO_OPERATIONS = ['CancelOperation', 'CloseExport', 'DownloadImage', 'ReadFile', 'StartUpload'];
/** Operations that no RPC has the name of. */
const OWN = ['FillBase', 'FillCache'];

describe('the table of metrics', () => {
  it('has every verb', () => {
    const changes = Object.values(RPC_TABLE).flatMap((rows) =>
      Object.entries(rows).flatMap(([rpc, { access }]) =>
        access === 'change' ? [`${rpc.slice(0, 1).toUpperCase()}${rpc.slice(1)}`] : [],
      ),
    );
    const verbs = [...changes.filter((rpc) => !NO_OPERATIONS.includes(rpc)), ...OWN];
    assert.deepEqual(Object.keys(ENGINES_OF_VERBS).sort(), verbs.sort());
  });

  it('has names as Prometheus wants them', () => {
    for (const [name, { kind }] of Object.entries(METRICS)) {
      assert.match(name, /^hostler_[a-z_]+$/);
      assert.equal(name.endsWith('_total'), kind === 'counter', name);
      if (kind === 'histogram') assert.match(name, /_seconds$/);
    }
  });

  it('has labels with an end', () => {
    assert.equal(reasonLabel('OF_ANOTHER_VERSION'), 'UNKNOWN_REASON');
    assert.deepEqual(['qemu-img', '/usr/bin/whatever', 'whatever'].map(toolLabel), ['qemu-img', 'command', 'other']);
    const work = { kind: 'delete', existed: true, freedBytes: 0n } as const;
    assert.equal(engineOf(work), 'none');
    const copy = { kind: 'copy', engine: 'OF_ANOTHER_VERSION' } as unknown as Parameters<typeof engineOf>[0];
    assert.equal(engineOf(copy), 'other');
    for (const words of ['too many of the caller', 'idle, to make room', 'too many half-open'])
      assert.ok(
        REFUSAL_KINDS.some((kind) => kind === labelOf(words)),
        labelOf(words),
      );
  });

  it('a file without a certificate has no time', () => {
    assert.equal(expiryOf(Buffer.from('')), Infinity);
  });
});

describe('the watch over space', () => {
  const space = { freeBytes: 1n, sizeBytes: 2n, reservedBytes: 0n };

  it('goes on beside a place that does not answer, and asks it no second time', async () => {
    const never = deferred<typeof space>();
    const asked = { near: 0, far: 0 };
    let now = 0;
    const near = { name: 'near', measure: () => ((asked.near += 1), Promise.resolve(space)) };
    const far = { name: 'far', measure: () => ((asked.far += 1), never.promise) };
    const watch = new SpaceWatch([far, near], 1000, () => now);
    watch.start();
    await turns();
    assert.deepEqual([...watch.states], [['near', { space, state: 'answers' }]]);
    watch.start();
    now = 1000;
    watch.start();
    await turns();
    assert.deepEqual(asked, { near: 2, far: 1 });
    never.resolve(space);
    await turns();
    assert.equal([...watch.states].length, 2);
  });

  it('keeps the figures of a place that stalls or goes', async () => {
    let now = 0;
    let problem: HostlerError | undefined;
    const measure = () => (problem === undefined ? Promise.resolve(space) : Promise.reject(problem));
    const watch = new SpaceWatch([{ name: 'root', measure }], 1000, () => now);
    const look = async () => {
      now += 1000;
      watch.start();
      await turns();
      return [...watch.states];
    };
    await look();
    problem = new HostlerError('ROOT_STALLED', 'it does not answer');
    assert.deepEqual(await look(), [['root', { space, state: 'stalled' }]]);
    problem = new HostlerError('ROOT_UNAVAILABLE', 'it is gone');
    assert.deepEqual(await look(), [['root', { space, state: 'unavailable' }]]);
    problem = undefined;
    assert.deepEqual(await look(), [['root', { space, state: 'answers' }]]);
  });
});
