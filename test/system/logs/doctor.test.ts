/** `hostler doctor` and `hostlerd --doctor`: what is wrong with a host, and how to mend it. */
import assert from 'node:assert/strict';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { HOSTLER, HOSTLERD } from '../../support/daemon.js';
import { Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';

interface Finding {
  readonly check: string;
  readonly state: string;
  readonly says: string;
  readonly mend?: string;
}

/** What the host of the tests may lack. */
const OF_THE_HOST = ['sandbox', 'limits', 'clock'];

describe('the doctor', () => {
  const scratch = scratchFolder();
  const config = async (name: string, more = '') => {
    const file = scratch.path(`${name}.toml`);
    await mkdir(scratch.path('images'), { recursive: true });
    const head = `state_dir = "${scratch.path('state')}"\n`;
    await writeFile(file, `${head}${more}\n[[roots]]\npath = "${scratch.path('images')}"\n`);
    return file;
  };
  const examine = async (file: string, env: NodeJS.ProcessEnv = {}) => {
    const { stdout, stderr, code } = await tryRun(HOSTLERD, ['--config', file, '--doctor', '--json'], { env });
    assert.equal(stderr, '');
    const { findings, problems } = JSON.parse(stdout) as { findings: Finding[]; problems: number };
    assert.equal(code, problems === 0 ? 0 : 1);
    return findings;
  };

  it('finds nothing wrong with tools and roots, and leaves nothing', async () => {
    const findings = await examine(await config('sound'));
    const problems = findings.filter(({ state, check }) => state === 'problem' && !OF_THE_HOST.includes(check));
    assert.deepEqual(problems, []);
    assert.ok(findings.some(({ check, says }) => check === 'tools' && says.startsWith('qemu-img: ')));
    assert.ok(findings.some(({ check, says }) => check === 'roots' && says.includes('free')));
    assert.deepEqual(await readdir(scratch.path('images')), []);
  });

  it('says how to mend a root that is missing, an unknown group, and a certificate that expires soon', async () => {
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['elsewhere.example'] });
    const socket = `[[listeners]]\naddress = "unix://${scratch.path('s.sock')}"\ngroup = "no-such-group"\n`;
    const findings = await examine(
      await config('wrong', `${pki.toml()}\n${socket}\n[[roots]]\npath = "${scratch.path('none')}"\n`),
    );
    const problems = findings.filter(({ state }) => state === 'problem');
    for (const words of [/root .*none cannot be opened/, /no-such-group/])
      assert.ok(
        problems.some(({ says }) => words.test(says)),
        String(words),
      );
    for (const { mend } of problems) assert.notEqual(mend ?? '', '');
    assert.ok(findings.some(({ check, says }) => check === 'tls' && says.includes('elsewhere.example')));
  });

  it('names a tool that is missing, and its package', async () => {
    const bin = scratch.path('bin');
    await mkdir(bin);
    for (const tool of ['sh', 'dirname', 'readlink', 'env', 'cp', 'mv', 'setpriv', 'prlimit', 'flock', 'getent'])
      await symlink((await sh('which', tool)).trim(), `${bin}/${tool}`);
    const file = await config('bare');
    const findings = await examine(file, { PATH: bin });
    const missing = findings.find(({ says }) => says.startsWith('qemu-img is not in PATH'));
    assert.deepEqual([missing?.state, missing?.mend], ['problem', 'apt install qemu-utils']);
    const { code, stderr } = await tryRun(HOSTLERD, ['--config', file, '--check-config'], { env: { PATH: bin } });
    assert.equal(code, 1);
    assert.match(stderr, /^hostlerd: [^\n]*the tool qemu-img is not in PATH[^\n]*\n$/);
  });

  it('is a command of the client too, which says the same in lines', async () => {
    const file = await config('client');
    const { stdout, code } = await tryRun(HOSTLER, ['doctor', '--config', file]);
    assert.match(stdout, /^ok {7}tools {4}qemu-img: /m);
    assert.equal(code, /^problem/m.test(stdout) ? 1 : 0);
    const broken = await tryRun(HOSTLER, ['doctor', '--config', scratch.path('no.toml')]);
    assert.notEqual(broken.code, 0);
    assert.match(broken.stderr, /no\.toml/);
    assert.doesNotMatch(broken.stderr, /\n\s+at /);
  });
});
