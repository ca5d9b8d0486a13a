/** What a peer sends of extents, honest and not. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { DataExtent } from '../../../src/domain/model/block-digest.js';
import { planByAgent } from '../../../src/domain/copy/agent-copy.js';
import type { FarAgent } from '../../../src/domain/copy/agents.js';
import { MAX_EXTENTS, dataExtents } from '../../../src/domain/copy/far-extents.js';

const stretch = (offset: number, length: number, data = true): DataExtent => ({
  offsetBytes: BigInt(offset),
  lengthBytes: BigInt(length),
  data,
});
const read = (told: Iterable<DataExtent>, lengthBytes = 1n << 40n) =>
  dataExtents(Readable.from(told), { lengthBytes, host: 'far' });

/** What `plan_only` says of a copy from an agent that says this. */
function planned(told: Iterable<DataExtent>, lengthBytes: bigint) {
  const agent: Pick<FarAgent, 'openExport' | 'map' | 'closeExport' | 'close'> = {
    openExport: () =>
      Promise.resolve({ place: { host: 'far', port: 1, key: NO_BYTES }, name: 'e', lengthBytes, fingerprint: '' }),
    map: () => Readable.from(told),
    closeExport: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const spec = {
    source: '/far',
    target: '/here',
    allowInUse: false,
    engine: 'AUTO',
    remote: { host: 'far', side: 'source' },
  };
  const resolution = { target: () => ({ directory: {} }) };
  const ports = { agents: { connect: () => Promise.resolve(agent) }, files: { freeBytes: () => Promise.resolve(1n) } };
  const run = { signal: new AbortController().signal };
  return planByAgent(spec as never, resolution as never, run as never, ports as never);
}
const NO_BYTES = Buffer.alloc(0);

describe('extents of a far file', () => {
  it('data in order; neighbours are one, holes are left out', async () => {
    const told = [stretch(0, 512), stretch(512, 512), stretch(1024, 4096, false), stretch(8192, 512)];
    assert.deepEqual(await read(told), [stretch(0, 1024), stretch(8192, 512)]);
    assert.deepEqual(await read([]), []);
    // qemu rounds the last one up.
    assert.deepEqual(await read([stretch(0, 1024)], 1000n), [stretch(0, 1024)]);
  });

  it('what cannot be is refused', async () => {
    const wrong: [string, DataExtent[]][] = [
      ['twice the same', [stretch(0, 512), stretch(0, 512)]],
      ['backwards', [stretch(1024, 512), stretch(0, 512)]],
      ['one over the other', [stretch(0, 1024), stretch(512, 1024)]],
      ['a hole over data', [stretch(0, 1024), stretch(512, 1024, false)]],
      ['empty', [stretch(0, 0)]],
      ['beyond the end', [stretch(4096, 512)]],
      ['over the end', [stretch(0, 4608)]],
    ];
    for (const [title, told] of wrong) await assert.rejects(read(told, 4096n), { reason: 'REMOTE_UNREACHABLE' }, title);
  });

  it('a plan takes no others than the copy does', async () => {
    const plan = await planned([stretch(0, 512), stretch(512, 1024, false), stretch(4096, 512)], 8192n);
    assert.equal(plan.moveBytes, 1024n);
    const again = (function* () {
      for (;;) yield { offsetBytes: 7n, lengthBytes: 2n ** 63n - 1n, data: true };
    })();
    const backwards = [stretch(1024, 512), stretch(0, 512)];
    for (const told of [again, backwards, [stretch(0, 0)], [stretch(0, 8704)]])
      await assert.rejects(planned(told, 8192n), { reason: 'REMOTE_UNREACHABLE' });
  });

  it('without end: it stops at the end of the file', async () => {
    let sent = 0;
    const told = (function* () {
      for (;;) yield stretch(sent++ * 1024, 512);
    })();
    await assert.rejects(read(told, 1n << 30n), { reason: 'REMOTE_UNREACHABLE' });
    // Streams read some ahead.
    assert.ok(sent <= (1 << 20) + 32, String(sent));
  });

  it('of more than are held, those that lie close together are one; no data is left out', async () => {
    for (const [gap, count] of [
      [4096, MAX_EXTENTS + 1],
      [200_000, 3 * MAX_EXTENTS],
      [4096, 200_000],
    ] as const) {
      const told = Array.from({ length: count }, (_, n) => stretch(n * (gap + 512), 512));
      const found = await read(told);
      assert.ok(found.length <= MAX_EXTENTS, String(found.length));
      let at = 0;
      for (const { offsetBytes } of told) {
        while ((found[at]?.offsetBytes ?? 0n) + (found[at]?.lengthBytes ?? 0n) <= offsetBytes) at += 1;
        const within = found[at];
        assert.ok(within !== undefined && within.offsetBytes <= offsetBytes, String(offsetBytes));
      }
    }
  });
});
