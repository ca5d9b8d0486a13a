import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgumentPatterns } from '../../../src/adapters/process/argument-patterns.js';
import { ConfigError } from '../../../src/adapters/config/config.js';
import { loadConfig } from '../../../src/wiring/load-config.js';

const { signal } = new AbortController();
const nobody = { identity: 'nobody', signal };

describe('patterns of arguments', () => {
  for (const [pattern, fits, misfits] of [
    ['--noheadings', ['--noheadings'], ['--noheadings ', '-noheadings', '']],
    ['[a-z0-9][a-z0-9-]*', ['a', 'vg-0'], ['-a', 'A', 'a\n', '']],
    ['a|bc', ['a', 'bc'], ['abc', 'ac', 'b']],
    ['.*', ['', 'a\nb', '\u{1f422}'], []],
    ['[^;]*', ['a b', 'é'], ['a;b']],
    ['\\d{1,3}', ['7', '123'], ['1234', '\u0663', '1\n']],
    ['\\u0041\\x42\\/', ['AB/'], ['AB', 'ab/']],
    ['(?<size>\\d+)[KMG]?', ['10', '10G'], ['G', '10GG']],
    ['^a$', ['a'], ['ba', 'a\na']],
  ] as const)
    it(`${pattern} is a whole argument`, async () => {
      const rule = new ArgumentPatterns([pattern]);
      for (const text of fits) assert.equal(await rule.misfit([text], nobody), undefined, text);
      for (const text of misfits) assert.equal(await rule.misfit([text], nobody), 0, text);
      assert.equal(await rule.misfit([...fits, ...misfits], nobody), misfits.length === 0 ? undefined : fits.length);
    });
  it('without any, no argument fits', async () => {
    assert.equal(await new ArgumentPatterns([]).misfit([''], nobody), 0);
    assert.equal(await new ArgumentPatterns([]).misfit([], nobody), undefined);
  });
  for (const [pattern, text, fits] of [
    ['[a-z0-9-]+-[a-z0-9-]{1,40}', 'a-'.repeat(2048), true],
    ['[a-z0-9-]+-[a-z0-9-]{1,40}', `${'a-'.repeat(2047)}!!`, false],
    ['(?:[a-z]{1,30}-){1,30}x', `${'aa-'.repeat(1365)}y`, false],
    ['(?:[a-]?){100}(?:[a-]*)*', 'a'.repeat(4096), true],
  ] as const)
    it(`${pattern} holds nobody while it is matched with ${text.slice(0, 9)}… of 4096`, async () => {
      const rule = new ArgumentPatterns([pattern]);
      let threads = 0;
      const onWorker = () => threads++;
      process.on('worker', onWorker);
      try {
        assert.equal(await rule.misfit(['a-a'], nobody), pattern.endsWith('x') ? 0 : undefined);
        assert.equal(threads, 0);
        assert.equal(await rule.misfit([text], nobody), fits ? undefined : 0);
        assert.equal(threads, 1);
      } finally {
        process.off('worker', onWorker);
      }
    });
  it('end with their caller', async () => {
    const gone = AbortSignal.abort(new Error('gone'));
    await assert.rejects(new ArgumentPatterns(['.*']).misfit(['a', 'b'], { identity: 'nobody', signal: gone }), /gone/);
  });
  it('that need a matcher that goes back and forth, or are none, are mistakes of the configuration', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'patterns-'));
    try {
      const path = join(folder, 'hostler.toml');
      const load = async (patterns: readonly string[]) => {
        const command = `[[commands]]\nname = "x"\nexecutable = "/bin/true"\narguments = ${JSON.stringify(patterns)}\n`;
        await writeFile(path, `[[roots]]\npath = "/srv"\n${command}`);
        return loadConfig(path);
      };
      await load(['[a-z]+', '.*']);
      for (const wrong of ['(', 'a(?=b)', '(?<!a)b', '(a)\\1', '[z-a]', 'a{2,1}'])
        await assert.rejects(load(['a', wrong]), (error: Error) => {
          assert.ok(error instanceof ConfigError);
          return error.message.includes('commands.0.arguments.1: is no pattern of RE2: ');
        });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
