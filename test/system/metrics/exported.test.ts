/** What a daemon exports for Prometheus is what the table of metrics says. */
import assert from 'node:assert/strict';
import { LABELS } from '../../../src/adapters/telemetry/metrics/metric-row.js';
import { METRICS, NODE_METRICS } from '../../../src/adapters/telemetry/metrics/metric-table.js';
import { DENIAL_REASONS, REASON_NAMES, RESULTS, SLOTS } from '../../../src/adapters/telemetry/metrics/label-values.js';
import { suiteDaemon } from '../../support/daemon.js';
import { Exposition } from '../../support/metrics/exposition.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, Stranger } from '../../support/stranger.js';
import { scrapedUntil } from '../../support/metrics/scraped-until.js';

const COPY = 'ImageService/CopyImage';
/** Only with a certificate, and with pools. */
const ELSEWHERE = /^hostler_(?:certificate|pool)_/;

describe('the metrics of a daemon', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    http: '127.0.0.1:0',
    listen: ['tcp://127.0.0.1:0'],
    toml: `[audit]\nfile = "${scratch.path('audit.log')}"\n`,
  }));
  const exported = async () => new Exposition(await daemon.get().metrics());
  const image = (name: string) => daemon.get().image(name);
  let first: Exposition;

  before(async () => {
    first = await exported();
  });

  it('are those of the table, with its kinds and labels', async () => {
    // What other images may grow by takes a moment to be looked up.
    const now = await scrapedUntil(
      daemon.get(),
      (exposition) => exposition.value('hostler_root_overcommitted_bytes') !== undefined,
    );
    const names = [...now.kinds.keys()];
    assert.deepEqual(names.filter((name) => name.startsWith('hostler_')).sort(), Object.keys(METRICS).sort());
    for (const name of Object.keys(NODE_METRICS)) assert.ok(names.includes(name), name);
    for (const [name, { kind, labels }] of Object.entries(METRICS)) {
      assert.equal(now.kinds.get(name), kind, name);
      // The rates are of operations that run.
      if (!ELSEWHERE.test(name) && name !== 'hostler_operation_progress_bytes_per_second')
        assert.deepEqual(now.labelsOf(name), [...labels].sort(), name);
      for (const label of labels) assert.ok(Object.hasOwn(LABELS, label), label);
    }
  });

  it('exist at 0 before anything has happened', () => {
    for (const result of RESULTS)
      assert.equal(first.value('hostler_operations_total', { verb: 'CopyImage', result }), 0, result);
    for (const reason of REASON_NAMES) {
      assert.equal(first.value('hostler_operation_failures_total', { reason }), 0, reason);
      assert.equal(first.value('hostler_rpc_failures_total', { reason }), 0, reason);
    }
    for (const reason of DENIAL_REASONS)
      assert.equal(first.value('hostler_denials_total', { rpc: `hostler.v1.${COPY}`, reason }), 0, reason);
    for (const slot of SLOTS) assert.equal(first.value('hostler_operations_waiting', { slot }), 0, slot);
    const success = { verb: 'CopyImage', engine: 'NBD_TLS', result: 'OK' };
    assert.equal(first.value('hostler_operation_duration_seconds_count', success), 0);
    assert.equal(first.value('hostler_audit_failures_total'), 0);
  });

  it('count operations by verb, engine and result, bytes, reasons and tools', async () => {
    const { stranger } = daemon.get();
    const create = (name: string) =>
      stranger.operation('ImageService/CreateImage', { path: image(name), format: 'qcow2', size: '1G' });
    await create('a');
    const copy = (target: string, source = image('a')) =>
      stranger.operation(COPY, { source, target: image(target), engine: 'COPY_ENGINE_LOCAL_SPARSE' });
    await copy('b');
    assert.equal((await failure(create('b'))).reason, 'TARGET_EXISTS');
    const zero = { path: image('b'), mode: 'WIPE_MODE_ZERO', format: 'qcow2' };
    await stranger.operation('ImageService/WipeImage', zero).catch(() => undefined);
    const now = await exported();
    const done = { verb: 'CopyImage', engine: 'LOCAL_SPARSE', result: 'OK' };
    assert.equal(now.value('hostler_operation_duration_seconds_count', done), 1);
    assert.equal(now.value('hostler_operations_total', { verb: 'CreateImage', result: 'OK' }), 1);
    assert.ok((now.value('hostler_operation_moved_bytes_total', { engine: 'LOCAL_SPARSE' }) ?? 0) > 0);
    assert.equal(now.value('hostler_rpc_failures_total', { reason: 'TARGET_EXISTS' }), 1);
    const already = { rpc: 'hostler.v1.ImageService/CreateImage', code: 'ALREADY_EXISTS' };
    assert.equal(now.value('hostler_rpc_duration_seconds_count', already), 1);
    assert.ok((now.value('hostler_operation_queue_wait_seconds_count', { slot: 'io' }) ?? 0) >= 1);
    assert.ok((now.value('hostler_children_total', { tool: 'qemu-img', outcome: 'succeeded' }) ?? 0) > 0);
    assert.ok((now.value('hostler_child_cpu_seconds_total', { tool: 'qemu-img' }) ?? 0) > 0);
    assert.ok((now.value('hostler_journal_write_duration_seconds_count') ?? 0) > 0);
    assert.ok((now.value('hostler_journal_size_bytes') ?? 0) > 0);
    assert.equal(now.value('hostler_children_total', { tool: 'other', outcome: 'succeeded' }), 0);
    assert.equal(now.value('hostler_operation_moved_bytes_total', { engine: 'other' }), 0);
  });

  it('count an operation that fails, by its code and its reason', async () => {
    const before = await exported();
    const absent = { path: image('absent'), format: 'raw', algorithm: 'sha256' };
    const error = await failure(daemon.get().stranger.operation('ImageService/DigestImage', absent));
    const now = await exported();
    const grown = (name: string, labels: Record<string, string>) =>
      (now.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0);
    assert.equal(grown('hostler_rpc_failures_total', { reason: error.reason }), 1);
  });

  it('count denials by method and reason', async () => {
    const viewer = new Stranger(daemon.get().tcp);
    const error = await failure(viewer.all('ImageService/DeleteImage', { path: image('a') }));
    viewer.close();
    assert.equal(error.reason, 'METHOD_NOT_ALLOWED');
    const denial = { rpc: 'hostler.v1.ImageService/DeleteImage', reason: 'METHOD_NOT_ALLOWED' };
    assert.equal((await exported()).value('hostler_denials_total', denial), 1);
  });

  it('have no more series for whatever callers send', async () => {
    const { stranger } = daemon.get();
    const ask = async (n: number) => {
      const path = image(`never-${String(n)}`);
      await failure(stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' }));
      await failure(stranger.operation('ImageService/DeleteImage', { path, labels: { [`l${String(n)}`]: 'x' } }));
    };
    await ask(0);
    const own = async () => (await exported()).series.filter(({ name }) => name.startsWith('hostler_')).length;
    const before = await own();
    for (let n = 1; n < 20; n++) await ask(n);
    assert.equal(await own(), before);
  });
});
