/** Requests that were internal errors, and their neighbours. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure } from '../../support/stranger.js';

describe('requests at the end of what can be', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);

  for (const content of ['', 'x'])
    for (const offset of [2n ** 53n, 2n ** 63n - 1n - 262_144n, 2n ** 63n - 1n])
      it(`ReadFile of ${String(content.length)} bytes at ${String(offset)} gives no data`, async () => {
        const path = daemon.get().image(`length-${String(content.length)}`);
        await writeFile(path, content);
        const request = { path, offset: String(offset) };
        assert.deepEqual(await daemon.get().stranger.all('FileService/ReadFile', request), []);
      });
  for (const [rpc, more] of [
    ['FetchImage', { use_cache: true }],
    ['FetchImage', {}],
    ['PrefetchImage', {}],
  ] as const)
    for (const source of [{ glance: { endpoint: 'http://h/', image_id: 'x' } }, { http: { url: 'ftp://h/' } }, {}])
      it(`${rpc} ${JSON.stringify(more)} from ${JSON.stringify(source)} names the field`, async () => {
        const target = rpc === 'FetchImage' ? { target: daemon.get().image('new') } : {};
        const call = daemon.get().stranger.operation(`ImageService/${rpc}`, { source, ...target, ...more });
        assert.equal((await failure(call)).reason, 'INVALID_FIELD');
      });
});
