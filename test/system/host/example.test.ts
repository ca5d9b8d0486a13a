/** The layout of the example configuration: what the daemon makes there it can work with. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, ROOT_FOLDER, type DaemonOptions } from '../../support/daemon.js';
import { sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const EXAMPLE = readFileSync(join(ROOT_FOLDER, 'packaging/hostler.example.toml'), 'utf8');
/** Of these keys: where things lie. */
const pathIn = (key: string) =>
  new RegExp(`^#? ?${key} = "/var/lib/hostler(/.*)"$`, 'm').exec(EXAMPLE)?.[1] ?? assert.fail(key);

describe('the layout of the example', () => {
  const scratch = scratchFolder();
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 8 * MIB, [{ at: MIB, length: MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    server.add('disk', await readFile(scratch.path('disk.qcow2')));
  });

  for (const [what, cache] of [
    ['as it is', ''],
    ["with the cache's folder that it names", `[cache]\npath = "LIB${pathIn('path')}"\n`],
  ] as const)
    it(`${what}: overlays on cached images are read, copied, resized and shown with their chain`, async () => {
      const lib = scratch.path(`lib${String(cache.length)}`);
      await mkdir(lib + pathIn('instances_path'), { recursive: true });
      const options: DaemonOptions = {
        top: `instances_path = "${lib}${pathIn('instances_path')}"\n`,
        stateFolder: lib + pathIn('state_dir'),
        roots: `[[roots]]\npath = "${lib}"\n`,
        toml: cache.replace('LIB', lib),
      };
      const daemon = await Daemon.start(scratch.path(`daemon${String(cache.length)}`), options);
      scratch.onEnd(() => daemon.stop());
      const path = `${lib}${pathIn('instances_path')}/vm.qcow2`;
      const call = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
      const digest = createHash('sha256')
        .update(await readFile(scratch.path('disk.qcow2')))
        .digest('hex');
      const source = { http: { url: `${server.origin}/disk` } };
      const checksum = { algorithm: 'sha256', digest };
      const fetched = await call('FetchImage', { source, checksum, target: path, overlay: true, use_cache: true });
      const id = String((fetched['fetch'] as Message)['cache_id']);
      const asked = { path, format: 'qcow2', backing_chain: true };
      const { backing_chain: chain } = (await daemon.stranger.unary('ImageService/GetImageInfo', asked)) as {
        backing_chain: Message[];
      };
      assert.equal(chain.length, 1);
      await call('ResizeImage', { path, format: 'qcow2', size: '12M' });
      const raw = `${lib}/copy.raw`;
      await call('ConvertImage', { source: path, source_format: 'qcow2', target: raw, target_format: 'raw' });
      assert.ok((await readFile(raw)).subarray(0, 8 * MIB).equals(await readFile(scratch.path('disk.raw'))));
      assert.equal((await failure(call('EvictCachedImages', { cache_ids: [id] }))).reason, 'IMAGE_IN_USE');
      // All else in the state folder stays closed, and so does the cache to those who would write.
      const state = lib + pathIn('state_dir');
      const inState = await failure(daemon.stranger.unary('ImageService/GetImageInfo', { path: `${state}/agent-id` }));
      assert.equal(inState.reason, 'PATH_OUTSIDE_ROOTS');
      const base = cache === '' ? `${state}/cache/${id}` : `${lib}/cache/${id}`;
      assert.equal((await failure(call('DeleteImage', { path: base }))).reason, 'ROOT_READ_ONLY');
    });
});
