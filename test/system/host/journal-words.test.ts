/**
 * What the commands about files say where the system refuses: one line that names it, and no word
 * of damage.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOSTLER, HOSTLERD } from '../../support/daemon.js';
import { openJournal } from '../../support/journals/journals.js';
import { isRoot, needs } from '../../support/needs.js';
import { done } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';

describe('commands about files that cannot be worked with', () => {
  const scratch = scratchFolder();
  const state = () => scratch.path('state');
  const file = () => join(state(), 'journal.sqlite');

  before(async () => {
    await mkdir(state());
    const { journal } = await openJournal(state());
    await journal.put(done(1));
    await journal.close();
    await mkdir(scratch.path('folder'));
  });

  const refused = async (words: readonly string[], says: RegExp, program = HOSTLER) => {
    const { code, stdout, stderr } = await tryRun(program, words);
    assert.notEqual(code, 0, stdout);
    assert.match(stderr, says);
    assert.doesNotMatch(`${stdout}${stderr}`, /damaged|^\s+at /m);
  };

  it('a journal is not called damaged because nobody may copy it', async function () {
    needs(this, isRoot, 'mounts a small filesystem');
    const small = scratch.path('small');
    await mkdir(small);
    await sh('mount', '-t', 'tmpfs', '-o', 'size=20k', 'none', small);
    scratch.onEnd(() => sh('umount', small));
    await refused([`TMPDIR=${small}`, HOSTLER, 'journal', 'status', state()], /journal\.sqlite.*ENOSPC|ENOSPC/, 'env');
    const other = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    await sh('chmod', '755', scratch.path());
    await sh('chmod', '711', state());
    await sh('chmod', '600', file());
    await refused([...other, HOSTLER, 'journal', 'status', file()], /journal\.sqlite.*permission denied/, 'setpriv');
    await refused([...other, HOSTLER, 'journal', 'status', state()], /permission denied/, 'setpriv');
  });

  it('a salvage says where it cannot read or write', async () => {
    await refused(['journal', 'salvage', file(), scratch.path('no/such')], /no\/such.*ENOENT/);
    await refused(['journal', 'salvage', file(), `${file()}/x`], /ENOTDIR/);
    await refused(['journal', 'salvage', scratch.path('folder'), scratch.path('new')], /is a folder/);
    await refused(['journal', 'salvage', scratch.path('nothing'), scratch.path('new')], /there is no/);
  });

  it('an authority below what is no place for folders is refused, and not waited for', async () => {
    await refused(['cert', 'init', '/proc/x'], /\/proc\/x/);
    await refused(['cert', 'init', `${file()}/x`], /not a directory/);
  });

  it('addresses and files are named', async () => {
    for (const port of ['65536', '99999'])
      await refused(['--address', `tcp://127.0.0.1:${port}`, 'ops', 'ls'], /tcp:\/\/127\.0\.0\.1:\d+: must be/);
    await refused(['disk', 'find-root', '--xml', scratch.path('folder')], /folder/);
  });

  it('a configuration whose files are folders, or whose port is none, would not start', async () => {
    const config = scratch.path('hostler.toml');
    const check = async (server: string, more: string, says: RegExp) => {
      const text = `state_dir = "${state()}"\n[server]\nlisten = ["${server}"]\nhttp = ""\n${more}`;
      await writeFile(config, `${text}[[roots]]\npath = "${scratch.path()}"\n`);
      await refused(['--config', config, '--check-config'], says, HOSTLERD);
    };
    const folder = scratch.path('folder');
    const socket = `unix://${scratch.path('s')}`;
    await check(socket, `[audit]\nfile = "${folder}"\n`, /audit log.*is a folder/);
    await check(`unix://${folder}`, '', /socket.*exists and is no socket/);
    await check('tcp://127.0.0.1:65536', '', /port is at most 65535/);
  });
});
