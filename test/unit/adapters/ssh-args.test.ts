/** Words for ssh and rsync, and what they say. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { compareArgs, copyArgs, hostWord, parseProgress, rshWord } from '../../../src/adapters/ssh/rsync.js';
import { farError, shellWord, sshWords } from '../../../src/adapters/ssh/ssh.js';
import { prepareScript, publishScript } from '../../../src/adapters/ssh/far-shell.js';
import { asAddress } from '../../../src/domain/model/address.js';
import type { SshConfig } from '../../../src/adapters/config/transfer-config.js';

const config: SshConfig = { hostKeys: 'known', connectTimeoutSeconds: 10, deadLineSeconds: 15, trustedHosts: [] };
const host = { host: 'there' };

describe('ssh and rsync', () => {
  it('ssh never asks, never forwards, and believes only what the configuration says', () => {
    const words = sshWords(config, host).join(' ');
    for (const option of [
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
      'ForwardAgent=no',
      'PermitLocalCommand=no',
      '-F none',
    ])
      assert.ok(words.includes(option), option);
    assert.ok(sshWords({ ...config, hostKeys: 'accept-new' }, host).includes('StrictHostKeyChecking=accept-new'));
    assert.deepEqual(sshWords(config, { host: 'x', port: 22, user: 'me' }).slice(-4), ['-p', '22', '-l', 'me']);
  });

  it('a word means nothing to a shell', () => {
    for (const word of ["it's", '$(id)', '`id`', 'a\nb', '-n', '', '*', '\\', '"']) {
      const said = execFileSync('/bin/sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' });
      assert.equal(said, word);
    }
  });

  it('words of -e are quoted where rsync would split them', () => {
    assert.equal(rshWord('BatchMode=yes'), 'BatchMode=yes');
    assert.equal(rshWord(`IdentityFile="/a b/it's"`), `'IdentityFile="/a b/it''s"'`);
  });

  it('brackets stand around IPv6 literals only', () => {
    assert.equal(hostWord('fd00::1'), '[fd00::1]');
    assert.equal(hostWord('10.0.0.1'), '10.0.0.1');
    assert.equal(hostWord('host'), 'host');
  });

  it('rsync is told to keep holes and what came, to compress and to hold back when asked', () => {
    const plain = copyArgs(config, host, { compress: false });
    for (const word of ['--sparse', '--partial', '--info=progress2,stats2']) assert.ok(plain.includes(word), word);
    assert.ok(!plain.includes('--compress'));
    const limited = copyArgs(config, host, { compress: true, bytesPerSecond: 1_500_000n });
    assert.ok(limited.includes('--compress') && limited.includes('--bwlimit=1465'));
    assert.ok(compareArgs(config, host).includes('--dry-run'));
  });

  it('its progress is read in every locale', () => {
    assert.equal(parseProgress('      1,238,099  12%    1.18MB/s    0:00:01 (xfr#1, to-chk=0/1)'), 1_238_099n);
    assert.equal(parseProgress('        1238099 100%  512.00kB/s    0:00:00'), 1_238_099n);
    assert.equal(parseProgress('sending incremental file list'), undefined);
  });

  it('failures get their meaning', () => {
    const reason = (text: string) => farError('ssh', host, text, 255).reason;
    assert.equal(reason('Host key verification failed.'), 'REMOTE_NOT_TRUSTED');
    assert.equal(reason('root@there: Permission denied (publickey).'), 'REMOTE_REFUSED');
    assert.equal(reason('ssh: connect to host there port 22: Connection refused'), 'REMOTE_UNREACHABLE');
    assert.equal(reason('rsync: connection unexpectedly closed (0 bytes received so far)'), 'REMOTE_UNREACHABLE');
    assert.equal(reason('sh: 1: rsync: not found'), 'TOOL_MISSING');
    assert.equal(reason('rsync: write failed on "/x": No space left on device (28)'), 'NO_SPACE');
    assert.equal(reason('something new'), 'TOOL_FAILED');
  });

  it('scripts hold no unquoted name', () => {
    const part = { host, target: asAddress(`/d/it's; rm -rf /`), folder: `/d/.hostler-far-x` };
    for (const script of [prepareScript(part, false), publishScript(part, { owner: 'a;b' }, true)])
      execFileSync('/bin/sh', ['-n', '-c', script]);
    assert.ok(publishScript(part, { owner: 'a;b' }, true).includes(`chown -- 'a;b'`));
  });
});
