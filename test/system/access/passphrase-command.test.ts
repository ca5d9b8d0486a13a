/**
 * `hostler image …` on encrypted images: the passphrase comes from a file or from standard input.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';

const PASSPHRASE = 'hunter2, "quoted"';
const OTHER = 'another one';
const [REFUSED, USAGE] = [4, 2];
/** Of a comparison. */
const NO_ANSWER = 2;

describe('passphrases of the command', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (words: readonly string[], input?: string) =>
    tryRun(HOSTLER, ['--address', daemon.get().address, 'image', ...words], input === undefined ? {} : { input });
  const right = () => ['--passphrase-file', scratch.path('right')];
  const ok = async (words: readonly string[], input?: string) => {
    const { code, stdout, stderr } = await run(words, input);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  /** On a busy machine making a LUKS header fails now and then: it measures the processor. */
  const cheap = async (path: string, format: string, options: string, file = 'right', prefix = '') => {
    const secret = ['--object', `secret,id=s,file=${scratch.path(file)}`];
    const words = ['create', '-q', ...secret, '-f', format, '-o', `${options},${prefix}iter-time=10`, path, '4M'];
    for (let tries = 1; ; tries++) {
      const { code, stderr } = await tryRun('qemu-img', words);
      if (code === 0) return;
      assert.ok(tries < 20 && stderr.includes('Unable to get accurate CPU usage'), stderr);
    }
  };

  before(async () => {
    await writeFile(scratch.path('right'), PASSPHRASE);
    await writeFile(scratch.path('with a newline'), `${PASSPHRASE}\n`);
    await writeFile(scratch.path('with two'), `${PASSPHRASE}\n\n`);
    await writeFile(scratch.path('wrong'), 'wrong');
    await writeFile(scratch.path('nothing'), '\n');
    await writeFile(scratch.path('other'), OTHER);
    // As the daemon makes them, opening one takes seconds.
    await cheap(at('luks'), 'luks', 'key-secret=s');
    await cheap(at('a.qcow2'), 'qcow2', 'encrypt.format=luks,encrypt.key-secret=s', 'right', 'encrypt.');
    await cheap(at('b.luks'), 'luks', 'key-secret=s', 'other');
  });

  const words = (): [string, string[]][] => [
    ['map', ['map', at('a.qcow2'), '-f', 'qcow2']],
    ['measure', ['measure', at('luks'), '-f', 'luks', '-O', 'raw']],
    ['check', ['check', at('a.qcow2'), '-f', 'qcow2']],
    ['snapshot create', ['snapshot', 'create', at('a.qcow2'), 'one', '-f', 'qcow2']],
    ['snapshot revert', ['snapshot', 'revert', at('a.qcow2'), 'one', '-f', 'qcow2']],
    ['snapshot rm', ['snapshot', 'rm', at('a.qcow2'), 'one', '-f', 'qcow2']],
    ['resize', ['resize', at('luks'), '8M', '-f', 'luks']],
    ['convert', ['convert', at('a.qcow2'), at('a.raw'), '-f', 'qcow2', '-O', 'raw']],
  ];
  it('each verb opens an encrypted image by it', async () => {
    for (const [name, verb] of words()) assert.notEqual(await ok([...verb, ...right()]), '', name);
    assert.equal((await readFile(at('a.raw'))).length, 4 << 20);
  });

  it('without one, and with another one, the image stays closed', async () => {
    for (const more of [[], ['--passphrase-file', scratch.path('wrong')]]) {
      const { code, stderr } = await run(['map', at('luks'), '-f', 'luks', ...more]);
      assert.equal(code, REFUSED, stderr);
      assert.match(stderr, /SECRET_REQUIRED/);
    }
  });

  it('it comes from standard input too, and one newline at its end is not part of it', async () => {
    const map = ['map', at('luks'), '-f', 'luks', '--passphrase-file'];
    for (const input of [PASSPHRASE, `${PASSPHRASE}\n`]) await ok([...map, '-'], input);
    await ok([...map, scratch.path('with a newline')]);
    for (const file of ['with two', 'wrong']) assert.equal((await run([...map, scratch.path(file)])).code, REFUSED);
    assert.equal((await run([...map, '-'], `${PASSPHRASE}\n\n`)).code, REFUSED);
  });

  it('no file, an empty one, and two passphrases of one standard input are a matter of usage', async () => {
    const map = ['map', at('luks'), '-f', 'luks', '--passphrase-file'];
    for (const file of [scratch.path('none'), scratch.path('nothing'), scratch.path('.')]) {
      const { code, stderr } = await run([...map, file]);
      assert.deepEqual([code, stderr.includes('--passphrase-file')], [USAGE, true], stderr);
    }
    const both = ['--passphrase-file', '-', '--second-passphrase-file', '-'];
    const compare = ['compare', at('luks'), at('luks'), '-f', 'luks', '-F', 'luks'];
    assert.equal((await run([...compare, ...both], PASSPHRASE)).code, USAGE);
  });

  it('an image that is made is encrypted by it', async () => {
    await ok(['create', at('made'), '1M', '-f', 'luks', '--passphrase-file', '-'], OTHER);
    const secret = ['--object', `secret,id=s,file=${scratch.path('other')}`, '--image-opts'];
    await sh('qemu-io', ...secret, '-c', 'read 0 512', `driver=luks,key-secret=s,file.filename=${at('made')}`);
    // Only an encrypted image can be luks; to plan it takes no time.
    const convert = ['convert', at('a.qcow2'), at('b'), '-f', 'qcow2', '-O', 'luks', '--plan', ...right()];
    assert.equal((await run(convert)).code, USAGE);
    await ok([...convert, '--target-passphrase-file', scratch.path('other')]);
  });

  it('the two images of a comparison have each their own', async () => {
    const compare = ['compare', at('a.qcow2'), at('b.luks'), '-f', 'qcow2', '-F', 'luks', ...right()];
    const opened = await run([...compare, '--second-passphrase-file', scratch.path('other')]);
    assert.match(opened.stdout, opened.code === 0 ? /^equal/ : /^different/, opened.stderr);
    const { code, stderr } = await run([...compare, '--second-passphrase-file', scratch.path('right')]);
    assert.deepEqual([code, stderr.includes('SECRET_REQUIRED')], [NO_ANSWER, true], stderr);
  });

  it('the daemon says nothing of them', async () => {
    for (const text of [PASSPHRASE, OTHER])
      assert.equal((await tryRun('grep', ['-rqsF', text, scratch.path('daemon/state')])).code, 1);
  });
});
