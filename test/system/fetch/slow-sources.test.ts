/** Fetches whose servers take their time keep nobody from work that needs no other host. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const FETCHES = 20;
const CALLERS = ['greedy', 'hungry'] as const;
/** Of four on one filesystem; the other one is for what needs nobody. */
const AT_WORK = 3;

describe('slow sources', () => {
  const scratch = scratchFolder();
  const socket = (name: string) => `unix://${scratch.path('daemon')}/${name}.sock`;
  const daemon = suiteDaemon(scratch, () => ({
    toml: [...CALLERS, 'modest'].map((name) => `[[listeners]]\naddress = "${socket(name)}"\nrole = "admin"\n`).join(''),
  }));
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  const image = (name: string) => daemon.get().image(name);
  const listed = async (...states: string[]) => {
    const { operations = [] } = (await daemon.get().stranger.unary('OperationService/ListOperations', {
      filter: { states: states.map((state) => `OPERATION_STATE_${state}`) },
    })) as { operations?: Message[] };
    return operations;
  };

  it(`${String(FETCHES)} of them, of two callers and of all kinds, do not stop a conversion of another`, async () => {
    const callers = [...CALLERS, 'modest'].map((name) => new Stranger(socket(name)));
    const modest = callers.at(-1);
    assert.ok(modest !== undefined);
    try {
      const streams = Array.from({ length: FETCHES }, (_, n) => {
        const url = server.add(`slow-${String(n)}`, noise(1 << 20), { stopAfter: { bytes: 4096, times: 1000 } });
        const kinds: [string, Message][] = [
          ['FetchImage', { target: image(`f${String(n)}`) }],
          ['FetchRawImage', { target: image(`f${String(n)}`) }],
          ['PrefetchImage', {}],
          ['FetchImage', { target: image(`f${String(n)}`), use_cache: true }],
        ];
        const [rpc, more] = kinds[(n >> 1) % kinds.length] ?? ['', {}];
        const request = { source: { http: { url } }, ...more };
        const stream = callers[n % CALLERS.length]?.stream(`ImageService/${rpc}`, request);
        return stream?.on('error', () => undefined).resume();
      });
      const asked = () => Array.from({ length: FETCHES }, (_, n) => server.file(`slow-${String(n)}`).requests);
      await until(() => asked().filter((requests) => requests > 0).length === AT_WORK);
      await until(async () => (await listed('QUEUED')).length >= FETCHES / 2 - AT_WORK);
      await writeFile(image('source.raw'), noise(1 << 20));
      const conversions = [1, 2].map((n) =>
        modest.operation('ImageService/ConvertImage', {
          ...{ source: image('source.raw'), source_format: 'raw' },
          ...{ target: image(`made-${String(n)}.qcow2`), target_format: 'qcow2', overwrite: true },
        }),
      );
      let made = 0;
      for (const conversion of conversions) void conversion.then(() => (made += 1));
      await until(() => made === conversions.length);
      assert.equal(asked().filter((requests) => requests > 0).length, AT_WORK);
      for (const stream of streams) stream?.cancel();
      await until(async () => (await listed('RUNNING', 'QUEUED', 'CANCELLING')).length === 0);
    } finally {
      for (const caller of callers) caller.close();
    }
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
});
