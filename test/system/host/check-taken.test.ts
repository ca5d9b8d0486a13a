/** What `hostlerd --check-config` says of what others have. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { Daemon, HOSTLERD } from '../../support/daemon.js';
import { tryRun } from '../../support/shell.js';
import { scratchFolder } from '../../support/scratch.js';

describe('--check-config of what others have', () => {
  const scratch = scratchFolder();
  let roots: string;
  before(async () => {
    await mkdir(scratch.path('images'));
    await symlink('images', scratch.path('link'));
    roots = `[[roots]]\npath = "${scratch.path('images')}"\n`;
  });

  async function checked(name: string, top: string, more = roots) {
    const config = scratch.path(`${name}.toml`);
    await writeFile(config, `state_dir = "${scratch.path(`${name}-state`)}"\n${top}\n${more}`);
    return tryRun(HOSTLERD, ['--config', config, '--check-config']);
  }

  it('names an address that another program listens on', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = `127.0.0.1:${String((other.address() as AddressInfo).port)}`;
    for (const server of [`http = "${address}"`, `http = ""\nlisten = ["tcp://${address}"]`]) {
      const { code, stderr } = await checked('taken', `[server]\n${server}\n`);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`cannot listen on ${address}: address in use`));
    }
    other.close();
    const { code, stderr } = await checked('taken', `[server]\nhttp = "${address}"\n`);
    assert.equal(code, 0, stderr);
  });

  it('names an address that is there twice', async () => {
    const twice = await checked('twice', '[server]\nhttp = "127.0.0.1:1"\nlisten = ["tcp://127.0.0.1:1"]\n');
    assert.match(twice.stderr, /two of server\.listen, server\.http and listeners have the address 127\.0\.0\.1:1/);
  });

  it('names roots that are the same folder, also behind a link', async () => {
    const { code, stderr } = await checked(
      'roots',
      '[server]\nhttp = ""\n',
      `${roots}[[roots]]\npath = "${scratch.path('link')}"\n`,
    );
    assert.equal(code, 1);
    assert.match(stderr, /the roots \S+images and \S+link are the same folder/);
  });

  it('names the daemon that has the cache; beside a running daemon its own configuration is fine', async () => {
    const cache = scratch.path('cache');
    await mkdir(cache);
    const daemon = await Daemon.start(scratch.path('running'), { toml: `[cache]\npath = "${cache}"\n` });
    try {
      const other = await checked('cache', '[server]\nhttp = ""\n', `[cache]\npath = "${cache}"\n${roots}`);
      assert.equal(other.code, 1);
      assert.match(other.stderr, /cache\.path: the folder \S+ is in use by the agent [0-9a-f]{12} of the host/);
      const own = await tryRun(HOSTLERD, ['--config', scratch.path('running/hostler.toml'), '--check-config']);
      assert.equal(own.code, 0, own.stderr);
    } finally {
      await daemon.stop();
    }
  });
});
