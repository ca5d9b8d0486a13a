/** The conformance suite passes on a healthy daemon, leaves nothing, and says what it did. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../support/daemon.js';
import { Pki } from '../support/hosts/pki.js';
import { scratchFolder } from '../support/scratch.js';
import { killing, runSuite, startedAgain, SUITE } from '../support/conformance/suite.js';
import { tryRun } from '../support/shell.js';
import { until } from '../support/until.js';

const LEAST_CASES = 150;
/** All cases, on a machine that does other work too. */
const WHOLE_MS = 600_000;

describe('the conformance suite', () => {
  const scratch = scratchFolder();
  const start = async (name: string, options: DaemonOptions) => {
    const daemon = await Daemon.start(scratch.path(name), options);
    scratch.onEnd(() => daemon.stop());
    return daemon;
  };

  it('passes over a unix socket, with a second caller and crashes, and leaves nothing', async function () {
    this.timeout(WHOLE_MS);
    const pidFile = scratch.path('pid');
    const viewer = `unix://${scratch.path('viewer.sock')}`;
    const daemon = await start('unix', {
      within: startedAgain(pidFile),
      toml: `[[listeners]]\naddress = "${viewer}"\nrole = "viewer"`,
    });
    const verdict = await runSuite(
      scratch.path('unix.xml'),
      ...['--address', daemon.address, '--second-address', viewer, '--root', daemon.image('')],
      ...['--restart-command', killing(pidFile)],
    );
    assert.deepEqual([verdict.failed, verdict.code], [[], 0], verdict.text);
    assert.ok(verdict.passed.length >= LEAST_CASES, `${String(verdict.passed.length)} cases passed`);
    assert.deepEqual(await readdir(daemon.image('')), []);
  });

  it('passes over mutual TLS with two callers', async () => {
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'], ip: ['127.0.0.1'] });
    for (const name of ['scheduler', 'looker']) await pki.issue('client', name);
    const callers = ['scheduler', 'looker'].map(
      (name) => `[[callers]]\nname = "cn:${name}"\nrole = "${name === 'looker' ? 'viewer' : 'operator'}"\n`,
    );
    const daemon = await start('tls', { listen: ['tcp://127.0.0.1:0'], toml: `${pki.toml()}${callers.join('')}` });
    const own = (name: string) => [pki.path(`${name}.pem`), pki.path(`${name}.key`)] as const;
    const [[cert, key], [secondCert, secondKey]] = [own('scheduler'), own('looker')];
    const verdict = await runSuite(
      scratch.path('tls.xml'),
      ...['--address', `tcp://${daemon.tcp}`, '--root', daemon.image('')],
      ...['--tls-ca', pki.path('ca.pem'), '--tls-cert', cert, '--tls-key', key],
      ...['--second-tls-cert', secondCert, '--second-tls-key', secondKey],
      ...['--only', '^(services|authorisation|uploads|downloads|cancels): '],
    );
    assert.deepEqual([verdict.failed, verdict.skipped, verdict.code], [[], [], 0], verdict.text);
    assert.deepEqual(await readdir(daemon.image('')), []);
  });

  it('removes its folder when it is interrupted', async () => {
    const daemon = await start('interrupted', {});
    const suite = spawn(SUITE, ['--address', daemon.address, '--root', daemon.image('')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = once(suite, 'exit');
    const works = (name: string) => name.startsWith('hostler-conformance-');
    await until(async () => (await readdir(daemon.image(''))).some(works));
    suite.kill('SIGINT');
    assert.deepEqual(await ended, [130, null]);
    assert.deepEqual(await readdir(daemon.image('')), []);
  });

  it('says that nobody answers, and what is wrong with its options', async () => {
    const nobody = ['--address', `unix://${scratch.path('nobody.sock')}`, '--root', '/x'];
    assert.equal((await tryRun(SUITE, nobody)).code, 7);
    for (const wrong of [[], ['--root', '/x', '--only', '('], ['--root', '/x', '--tls-cert', '/x'], ['--nonsense']])
      assert.equal((await tryRun(SUITE, wrong)).code, 2, wrong.join(' '));
  });
});
