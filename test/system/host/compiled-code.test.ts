/** The code that V8 compiled when the bundle was built: src/cached-code.cts. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOSTLER, HOSTLERD, ROOT_FOLDER } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';

const BUNDLE = join(ROOT_FOLDER, 'dist/bundle');
/** Says of each program what V8 made of the compiled code that it got. */
const WITNESS = `
const vm = require('node:vm');
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    const became = options.cachedData === undefined ? 'compiled' : this.cachedDataRejected ? 'rejected' : 'accepted';
    process.stderr.write(options.filename + ': ' + became + '\\n');
  }
};`;

describe('compiled code', () => {
  const scratch = scratchFolder();
  let env: NodeJS.ProcessEnv = {};

  before(async function () {
    if (!existsSync(join(BUNDLE, 'code'))) {
      process.stdout.write('skipped: compiled code (the bundle is thin, to measure coverage)\n');
      this.skip();
    }
    await writeFile(scratch.path('witness.cjs'), WITNESS);
    env = { NODE_OPTIONS: `--require=${scratch.path('witness.cjs')}` };
  });

  it('is what the daemon and the command start from, under the options of their launchers', async () => {
    for (const [program, name] of [
      [HOSTLERD, 'hostlerd.js'],
      [HOSTLER, 'hostler.js'],
    ] as const) {
      const { code, stderr } = await tryRun(program, ['--version'], { env });
      assert.deepEqual({ code, stderr }, { code: 0, stderr: `${name}: accepted\n` });
    }
  });

  it('is left aside where it is cut, changed, of another source or not readable', async () => {
    const copy = scratch.path('copy');
    const [source, cache] = ['js', 'cache'].map((kind) => join(copy, `dist/bundle/code/hostler.${kind}`)) as [
      string,
      string,
    ];
    await mkdir(join(copy, 'dist/bundle/code'), { recursive: true });
    for (const path of [
      'package.json',
      ...['package.json', 'hostler.js', 'code/hostler.js'].map((each) => `dist/bundle/${each}`),
    ])
      await cp(join(ROOT_FOLDER, path), join(copy, path));
    const whole = await readFile(join(BUNDLE, 'code/hostler.cache'));
    const became = async (bytes: Buffer) => {
      await writeFile(cache, bytes);
      const { code, stdout, stderr } = await tryRun(
        process.execPath,
        [join(copy, 'dist/bundle/hostler.js'), '--version'],
        { env },
      );
      assert.deepEqual([code, stdout.startsWith('hostler ')], [0, true], stderr);
      return stderr;
    };
    assert.equal(await became(whole), 'hostler.js: accepted\n');
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(whole.length >> 1) ^ 1, whole.length >> 1);
    const foreign = await readFile(join(BUNDLE, 'code/hostlerd.cache'));
    for (const bytes of [Buffer.alloc(0), whole.subarray(0, 7), whole.subarray(0, -1), changed, foreign])
      assert.equal(await became(bytes), 'hostler.js: compiled\n');
    // As long as before, which is all that V8 looks at.
    const text = await readFile(source, 'latin1');
    await writeFile(source, text.replace('"use strict"', "'use strict'"), 'latin1');
    assert.equal(await became(whole), 'hostler.js: compiled\n');
    await rm(cache);
    await mkdir(cache);
    const { code } = await tryRun(process.execPath, [join(copy, 'dist/bundle/hostler.js'), '--version'], { env });
    assert.equal(code, 0);
  });
});
