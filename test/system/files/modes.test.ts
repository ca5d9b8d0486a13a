/**
 * Who may make files may not make programs that run as somebody else: modes are 0777 at most, and
 * new content has no set-id bits.
 */
import assert from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const SET_ID = 0o6755;

describe('modes of files that callers make', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const image = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const unary = (rpc: string, request: Message) => daemon.get().stranger.unary(`ImageService/${rpc}`, request);
  const modeOf = async (name: string) => (await stat(at(name))).mode & 0o7777;
  before(() => writeFile(at('source.raw'), Buffer.alloc(4096, 'x')));

  for (const mode of [0o4755, 0o2755, 0o1777, 0o1000])
    it(`${mode.toString(8)} is refused wherever a file is made`, async () => {
      const attributes = { mode };
      const [source, target] = [at('source.raw'), at('refused')];
      const asked = [
        image('CreateImage', { path: target, format: 'raw', size: '1M', attributes }),
        image('CreateOverlay', { path: target, backing_file: source, backing_format: 'raw', attributes }),
        image('ConvertImage', { source, source_format: 'raw', target, target_format: 'qcow2', attributes }),
        image('CopyImage', { source, target, attributes }),
        image('FetchRawImage', { source: { file: { path: source } }, target, attributes }),
        unary('StartUpload', { target, format: 'raw', length_bytes: '4096', attributes }),
      ];
      for (const call of asked) assert.deepEqual((await failure(call)).fields, ['attributes.mode']);
    });
  it('0777 is taken', async () => {
    await image('CreateImage', { path: at('all'), format: 'raw', size: '1M', attributes: { mode: 0o777 } });
    assert.equal(await modeOf('all'), 0o777);
  });

  describe('of a file with set-id bits, when it gets other content', () => {
    const cases: Record<string, (path: string) => Promise<unknown>> = {
      'WriteFile replaces it': (path) =>
        daemon.get().stranger.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.from('new') }]),
      'WriteFile writes into it': (path) =>
        daemon
          .get()
          .stranger.send('FileService/WriteFile', [{ header: { path, offset: '0' } }, { data: Buffer.from('new') }]),
      'CreateImage overwrites it': (path) => image('CreateImage', { path, format: 'raw', size: '1M', overwrite: true }),
      'CopyImage overwrites it': (path) =>
        image('CopyImage', { source: at('source.raw'), target: path, overwrite: true }),
      'ResizeImage changes it in place': (path) => image('ResizeImage', { path, format: 'qcow2', size: '2M' }),
      'CreateSnapshot changes it in place': (path) =>
        image('CreateSnapshot', { path, format: 'qcow2', snapshot: 'one' }),
      'WipeImage zeroes it': (path) => image('WipeImage', { path, mode: 'WIPE_MODE_ZERO' }),
    };
    for (const [title, change] of Object.entries(cases))
      it(title, async () => {
        const name = title.replaceAll(' ', '-');
        await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at(name), '1M');
        await chmod(at(name), SET_ID);
        const before = await readFile(at(name));
        await change(at(name));
        assert.equal(await modeOf(name), 0o755);
        assert.ok(!(await readFile(at(name))).equals(before), 'the content is another');
      });
    it('TouchFile, which changes no content, leaves them', async () => {
      await writeFile(at('touched'), 'x');
      await chmod(at('touched'), SET_ID);
      await daemon.get().stranger.unary('FileService/TouchFile', { path: at('touched') });
      assert.equal(await modeOf('touched'), SET_ID);
    });
  });
});
