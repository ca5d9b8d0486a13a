/** Bases that other programs name in other ways than by a path. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('names of bases', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const overlay = async (name: string, base: string, format = 'raw') => {
    await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', format, '-b', base, at(name), '1M');
    return at(name);
  };
  const described = (path: string, driver = 'raw') =>
    `json:${JSON.stringify({ driver, file: { driver: 'file', filename: path } })}`;
  before(() => writeFile(at('base é'), noise(MIB)));

  const names: [string, () => string][] = [
    ['file', () => `file:${at('base é')}`],
    ['json', () => described(at('base é'))],
  ];
  for (const [title, name] of names)
    it(`${title}: the base is read, shown, and kept`, async () => {
      const path = await overlay(`over-${title}`, name());
      await run('ConvertImage', {
        source: path,
        source_format: 'qcow2',
        target: at(`${title}.raw`),
        target_format: 'raw',
      });
      assert.ok((await readFile(at(`${title}.raw`))).equals(noise(MIB)));
      const { info } = await daemon.get().stranger.unary('ImageService/GetImageInfo', { path });
      assert.equal((info as Message)['full_backing_file'], at('base é'));
      assert.equal((info as Message)['backing_file'], name());
      const error = await failure(run('DeleteImage', { path: at('base é') }));
      assert.equal(error.reason, 'IMAGE_HAS_DEPENDANTS');
    });

  it('no path, or another format: IMAGE_UNSAFE, which says the name', async () => {
    for (const name of ['nbd:localhost:10809', 'http://host/base', 'file:base', described(at('base é'), 'qcow2')]) {
      const path = await overlay('elsewhere', name);
      const request = { source: path, source_format: 'qcow2', target: at('out'), target_format: 'raw' };
      const error = await failure(run('ConvertImage', request));
      assert.equal(error.reason, 'IMAGE_UNSAFE', name);
      assert.ok(error.message.includes(name), error.message);
    }
  });
});
