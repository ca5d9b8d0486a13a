/**
 * What RPCs promise of clusters that cannot be asked: `rbd` and `ceph` are missing, or fail as
 * those of a cluster do.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { callByName } from '../../support/reasons/work.js';
import { fakeTools, onlyTools } from '../../support/reasons/tools.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';

const BASE = '0'.repeat(32);
/**
 * As the tools of Ceph 16 say it, with their exit codes; told by the name of the cluster's user.
 */
const RBD = `case "$*" in
  *"--id locked"*) echo "rbd: couldn't connect to the cluster: (13) Permission denied" >&2; exit 13 ;;
  *"--id away"*) exec sleep 600 ;;
  *"--id lost"*) echo "ObjectNotFound('RADOS object not found (error calling conf_read_file)')" >&2; exit 2 ;;
esac
echo "rbd: it failed" >&2
exit 22`;

describe('what an RPC promises of pools', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let reader: Stranger;

  const pools = ['broken', 'locked', 'lost', 'away', 'named'].map(
    (name) => `[[clusters]]\nname = "${name}"\nuser = "${name}"\nconfig_file = "CONF"\npatience_seconds = 1
[[pools]]\nname = "${name}"\ncluster = "${name}"\n${name === 'named' ? 'roles = ["operator"]\n' : ''}`,
  );
  const unusable = () =>
    [
      ['no-conf', 'none.conf', 'other.keyring'],
      ['no-keyring', 'ceph.conf', 'none.keyring'],
      ['no-key', 'ceph.conf', 'other.keyring'],
    ].map(
      ([name = '', config = '', keyring = '']) => `[[clusters]]\nname = "${name}"
config_file = "${scratch.path(config)}"\nkeyring = "${scratch.path(keyring)}"\n[[pools]]\nname = "${name}"\ncluster = "${name}"\n`,
    );
  const toml = () =>
    [
      `[cache]\npools = ["broken", "locked", "away", "named"]`,
      `[[listeners]]\naddress = "unix://${scratch.path('reader.sock')}"\nrole = "reader"`,
      `[roles.reader]\nservices = ["ImageService"]\nread = ["/", "rbd:broken"]`,
      ...pools.map((text) => text.replace('CONF', scratch.path('ceph.conf'))),
      ...unusable(),
    ].join('\n');
  const start = async (PATH: string) => {
    daemon = await Daemon.start(scratch.path('daemon'), { toml: toml(), env: { PATH } });
  };
  const base = (pool: string) => `rbd:${pool}/${BASE}`;
  const requests: Readonly<Record<string, (pool: string) => Message>> = {
    GetPoolInfo: (pool) => ({ pool }),
    ListImages: (pool) => ({ path: `rbd:${pool}` }),
    ListCachedImages: (pool) => ({ pool }),
    PinCachedImage: (pool) => ({ cache_id: base(pool), pinned: true }),
    EvictCachedImages: (pool) => ({ cache_ids: [base(pool)] }),
    DeleteImage: (pool) => ({ path: `rbd:${pool}/image` }),
  };
  const all = Object.keys(requests);
  const ofCache = all.filter((rpc) => rpc.includes('Cached'));

  function each(reason: string, pool: string, rpcs: readonly string[], by: () => Stranger = () => daemon.stranger) {
    for (const rpc of rpcs)
      it(`${rpc}: ${reason}`, async () => {
        const error = await failure(callByName(by(), rpc, requests[rpc]?.(pool) ?? {}));
        assert.equal(error.reason, reason, error.message);
      });
  }

  before(() => writeFile(scratch.path('ceph.conf'), '[global]\nmon_host = [v2:127.0.0.1:1]\n'));
  before(() => writeFile(scratch.path('other.keyring'), '[client.other]\n\tkey = AAAA\n'));

  describe('whose tools fail', () => {
    before(async () => {
      await start(await fakeTools(scratch.path('fakes'), { rbd: RBD, ceph: RBD }));
      reader = new Stranger(`unix://${scratch.path('reader.sock')}`);
    });
    after(async () => {
      reader.close();
      await daemon.stop();
    });
    for (const pool of ['no-conf', 'no-keyring', 'no-key'])
      it(`GetImageInfo: CLUSTER_UNUSABLE (${pool})`, async () => {
        const error = await failure(callByName(daemon.stranger, 'GetImageInfo', { path: `rbd:${pool}/image` }));
        assert.deepEqual([error.reason, error.metadata['cluster']], ['CLUSTER_UNUSABLE', pool], error.message);
        assert.ok(!error.message.includes(scratch.path()), error.message);
      });
    each('TOOL_FAILED', 'broken', all);
    each('TOOL_FAILED', 'lost', ['GetPoolInfo']);
    each('IMAGE_NOT_FOUND', 'lost', ['DeleteImage']);
    each('ACCESS_DENIED', 'locked', all);
    each('ROOT_STALLED', 'away', ['GetPoolInfo', 'ListImages', 'ListCachedImages']);
    each('PATH_OUTSIDE_ROOTS', 'named', all);
    each('ROOT_READ_ONLY', 'broken', ['PinCachedImage', 'EvictCachedImages'], () => reader);
  });

  describe('whose tools are not there', () => {
    before(async () => start(await onlyTools(scratch.path('bare'))));
    after(() => daemon.stop());
    each('TOOL_MISSING', 'broken', ['GetPoolInfo', 'ListImages', 'DeleteImage', ...ofCache]);
  });
});
