/** Each query of the dashboard finds data in a real Prometheus that scrapes a daemon at work. */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { Daemon } from '../support/daemon.js';
import { Pki } from '../support/hosts/pki.js';
import { noise } from '../support/images/disks.js';
import { expanded, otherQueries, panelQueries } from '../support/metrics/operator-files.js';
import { needs, installed } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { JOB, Prometheus } from '../support/servers/prometheus.js';
import { tryRun } from '../support/shell.js';
import { Stranger, failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

const MIB = 1 << 20;
/** Only a cluster knows: test/ceph looks at them. */
const OF_CLUSTERS = /hostler_pool_(?:size|free|reserved)_bytes/;

describe('the dashboard and a real Prometheus', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let prometheus: Prometheus;
  const image = (name: string) => daemon.image(name);
  const copy = (target: string, more: Message = {}) => ({
    source: image('noise.raw'),
    target: image(target),
    engine: 'COPY_ENGINE_LOCAL_SPARSE',
    ...more,
  });

  before(async function () {
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'] });
    await writeFile(scratch.path('away.conf'), '[global]\nmon_host = [v2:127.0.0.1:1]\n');
    const pool = `[[clusters]]\nname = "away"\nconfig_file = "${scratch.path('away.conf')}"\npatience_seconds = 3
[[pools]]\nname = "away"\ncluster = "away"\n`;
    daemon = await Daemon.start(scratch.path('daemon'), {
      http: '127.0.0.1:0',
      listen: ['tcp://127.0.0.1:0'],
      toml: `${pki.toml()}${pool}[[listeners]]\naddress = "unix://${scratch.path('viewer.sock')}"\nrole = "viewer"\n`,
    });
    scratch.onEnd(() => daemon.stop());
    prometheus = await Prometheus.start(this, scratch, [new URL(daemon.http).host]);
    // A rate needs what was before.
    await until(async () => (await prometheus.range('count_over_time(hostler_build_info[1m]) >= 3')).length > 0);
    await work();
  });

  /** Something for each panel. */
  async function work(): Promise<void> {
    const { stranger } = daemon;
    await writeFile(image('noise.raw'), noise(4 * MIB));
    await truncate(image('noise.raw'), 8 * MIB);
    await writeFile(image('large.raw'), noise(128 * MIB));
    for (const name of ['a', 'b', 'c'])
      await stranger.operation('ImageService/CreateImage', { path: image(name), format: 'qcow2', size: '1G' });
    await stranger.operation('ImageService/CopyImage', copy('copied.raw'));
    assert.equal(
      (await failure(stranger.operation('ImageService/CopyImage', copy('copied.raw')))).reason,
      'TARGET_EXISTS',
    );
    const viewer = new Stranger(`unix://${scratch.path('viewer.sock')}`);
    await failure(viewer.all('ImageService/DeleteImage', { path: image('a') }));
    viewer.close();
    await refused();
    // One that is at work during a scrape, and fails.
    const slow = stranger.all(
      'ImageService/CopyImage',
      copy('slow.raw', { source: image('large.raw'), bandwidth_bytes_per_second: 4 * MIB }),
    );
    const failed = failure(slow);
    const rate = 'hostler_operation_progress_bytes_per_second > 0';
    await until(async () => (await prometheus.range(rate)).length > 0);
    const { operations } = await stranger.unary('OperationService/ListOperations', {
      filter: { states: ['OPERATION_STATE_RUNNING'] },
    });
    const [{ operation_id } = {}] = operations as Message[];
    await stranger.unary('OperationService/CancelOperation', { operation_id });
    await failed;
    const seen = `sum(increase(hostler_operation_failures_total{reason="CANCELLED"}[15s])) > 0`;
    await until(async () => (await prometheus.range(seen)).length > 0);
  }

  /** A connection without a certificate. */
  async function refused(): Promise<void> {
    const [host = '', port] = daemon.tcp.split(':');
    const socket = connect(Number(port), host);
    socket.on('error', () => undefined);
    socket.end('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
  }

  for (const { title, expr } of panelQueries())
    it(`${title}: ${expr}`, async function () {
      needs(this, !OF_CLUSTERS.test(expr), 'needs a Ceph cluster: test/ceph looks at these metrics');
      // The looks at roots and pools, and of the journal, come later.
      await until(async () => (await prometheus.range(expanded(expr, JOB))).length > 0, 30_000);
    });

  for (const { title, expr } of otherQueries())
    it(`${title}: ${expr}`, async () => {
      // The daemon has not been started again, which the annotations would show.
      const query = expanded(expr, JOB).replace(/ > 0$/, '');
      assert.ok((await prometheus.range(query)).length > 0);
    });

  it('promtool finds nothing to object to in what is exported', async function () {
    needs(this, installed('promtool'), 'promtool is not installed');
    const { code, stdout, stderr } = await tryRun('promtool', ['check', 'metrics'], { input: await daemon.metrics() });
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
  });
});
