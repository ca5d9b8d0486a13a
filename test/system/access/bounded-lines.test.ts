/**
 * Whatever a request holds, its lines in the audit log and the log are short, and those of denials
 * are not many.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MOST_LINE = 16 * 1024;
const LONG = 100_000;

describe('lines about denied requests', () => {
  const scratch = scratchFolder();
  const audit = () => scratch.path('audit.log');
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${scratch.path('daemon/viewer.sock')}"\nrole = "viewer"`,
      `[audit]\nfile = "${audit()}"\n`,
    ].join('\n'),
  }));
  let viewer: Stranger;
  before(() => {
    viewer = new Stranger(`unix://${scratch.path('daemon/viewer.sock')}`);
    scratch.onEnd(() => {
      viewer.close();
      return Promise.resolve();
    });
  });
  const audited = async () =>
    (await readFile(audit(), 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => ({ line, fields: JSON.parse(line) as Record<string, unknown> }));

  const cases: Record<string, (rpc: (name: string, request: Message) => Promise<unknown>) => Promise<unknown>> = {
    'a path of control characters': (rpc) => rpc('FileService/DeleteFile', { path: `/${'\u0001'.repeat(LONG)}` }),
    'a path of control characters that is no longer than paths are': (rpc) =>
      rpc('FileService/DeleteFile', { path: `/${'\u0001'.repeat(4000)}` }),
    'a path of letters': (rpc) => rpc('ImageService/DeleteImage', { path: `/${'x'.repeat(LONG)}` }),
    'two paths': (rpc) =>
      rpc('ImageService/CopyImage', { source: `/${'a'.repeat(LONG)}`, target: `/${'\u0002'.repeat(LONG)}` }),
    'a request id': (rpc) => rpc('ImageService/DeleteImage', { path: '/x', request_id: '"'.repeat(LONG) }),
    'half a character where the text is cut': (rpc) =>
      rpc('ImageService/DeleteImage', { path: `/${'x'.repeat(126)}${'😀'.repeat(LONG / 2)}` }),
    'a path in a stream of messages': () => {
      const header = { header: { path: `/${'\u0001'.repeat(LONG)}` } };
      return viewer.send('FileService/WriteFile', [header, header, header]);
    },
  };
  for (const [title, call] of Object.entries(cases))
    it(title, async () => {
      const [before, logged] = [(await audited()).length, daemon.get().log.length];
      const rpc = (name: string, request: Message) =>
        name.endsWith('Image') ? viewer.all(name, request) : viewer.unary(name, request);
      const error = await failure(call(rpc));
      assert.ok(['METHOD_NOT_ALLOWED', 'INVALID_FIELD'].includes(error.reason), error.reason);
      // What comes after it is written down after it.
      await failure(viewer.all('ImageService/DeleteImage', { path: '/next' }));
      await until(async () => JSON.stringify((await audited()).at(-1)?.fields['paths']) === '["/next"]');
      await daemon.get().logged(/"\/next"/, logged);
      const lines = [...(await audited()).slice(before), ...daemon.get().log.slice(logged).split('\n')];
      for (const line of lines.map((each) => (typeof each === 'string' ? each : each.line))) {
        assert.ok(line.length < MOST_LINE, `${String(line.length)} characters`);
        assert.ok(line.isWellFormed());
      }
    });
  it('a path that a filesystem takes stands there whole', async () => {
    const path = `/${'x'.repeat(4000)}`;
    await failure(viewer.all('ImageService/DeleteImage', { path }));
    await until(async () => JSON.stringify((await audited()).at(-1)?.fields['paths']) === JSON.stringify([path]));
  });
});
