/** Daemons by name: `hostler context`, and how every command finds its daemon. */
import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';

describe('contexts of the command', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'], ip: ['127.0.0.1'] });
    await pki.issue('client', 'scheduler', { uri: ['spiffe://cloud/scheduler'] });
  });
  const daemon = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    toml: `${pki.toml()}[[callers]]\nname = "uri:spiffe://cloud/scheduler"\nrole = "viewer"\n`,
  }));
  const folder = () => scratch.path('config/hostler');
  const file = () => `${folder()}/contexts.json`;
  beforeEach(() => rm(folder(), { recursive: true, force: true }));

  const hostler = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    tryRun(HOSTLER, args, {
      env: { XDG_CONFIG_HOME: scratch.path('config'), HOSTLER_ADDRESS: undefined, HOSTLER_CONTEXT: undefined, ...env },
    });
  /** Fails with its standard error. */
  const run = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const { code, stdout, stderr } = await hostler(args, env);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const wrong = async (args: readonly string[], code: number, message: RegExp, env: NodeJS.ProcessEnv = {}) => {
    const ended = await hostler(args, env);
    assert.match(ended.stderr, message);
    assert.equal(ended.code, code);
  };
  const ARCH = ['host', 'arch', 'x86_64'];
  const tls = () => [
    ['--tls-ca', pki.path('ca.pem')],
    ['--tls-cert', pki.path('scheduler.pem')],
    ['--tls-key', pki.path('scheduler.key')],
  ];

  it('the first one becomes the current one, and every command uses it', async () => {
    const { address, tcp } = daemon.get();
    await run(['context', 'add', 'near', '--address', address, '--root', '/srv/images']);
    await run(['context', 'add', 'far', '--address', `tcp://${tcp}`, ...tls().flat()]);
    assert.deepEqual(JSON.parse(await readFile(file(), 'utf8')), {
      current: 'near',
      contexts: {
        near: { address, root: '/srv/images' },
        far: {
          address: `tcp://${tcp}`,
          tls_ca: pki.path('ca.pem'),
          tls_cert: pki.path('scheduler.pem'),
          tls_key: pki.path('scheduler.key'),
        },
      },
    });
    assert.equal((await stat(file())).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder()), ['contexts.json']);
    assert.equal(await run(ARCH), 'x86_64\n');
    await run(['context', 'use', 'far']);
    assert.equal(await run(ARCH), 'x86_64\n');
    assert.match(await run(['context', 'ls']), /^ +name +address +root\n +near .*\/srv\/images\n\* +far +tcp:/);
    const listed = JSON.parse(await run(['--json', 'context', 'ls'])) as { contexts: object[] };
    assert.deepEqual(listed.contexts[0], { name: 'near', address, root: '/srv/images' });
    assert.match(await run(['context', 'rm', 'far']), /was the current one/);
    assert.deepEqual(Object.keys(JSON.parse(await readFile(file(), 'utf8')) as object), ['contexts']);
  });

  it('arguments win over the environment, and that over contexts', async () => {
    const { address } = daemon.get();
    await run(['context', 'add', 'gone', '--address', 'unix:///gone']);
    await run(['context', 'add', 'near', '--address', address]);
    await wrong(ARCH, 7, /no connection to unix:\/\/\/gone/);
    await run(ARCH, { HOSTLER_CONTEXT: 'near' });
    await run(['--context', 'near', ...ARCH], { HOSTLER_ADDRESS: 'unix:///other' });
    await run(ARCH, { HOSTLER_ADDRESS: address, HOSTLER_CONTEXT: 'gone' });
    await run(['--address', address, ...ARCH], { HOSTLER_CONTEXT: 'gone' });
    // Files for the daemon of HOSTLER_ADDRESS are none of the context's.
    await run(['--context', 'near', ...ARCH], { HOSTLER_TLS_CA: '/ca', HOSTLER_TLS_CERT: '/c', HOSTLER_TLS_KEY: '/k' });
    await wrong(['--context', 'near', '--address', address, ...ARCH], 2, /not both/);
  });

  it('a relative path is in the root of the context, unless it begins with a dot', async () => {
    const { address, folder: own } = daemon.get();
    const create = (...words: string[]) => ['--json', 'image', 'create', ...words, '1M', '-f', 'raw'];
    const made = async (args: readonly string[], env?: NodeJS.ProcessEnv) => {
      const answer = JSON.parse(await run(args, env)) as { result: { image: { info: { path: string } } } };
      return answer.result.image.info.path;
    };
    await run(['context', 'add', 'near', '--address', address, '--root', `${own}/images`]);
    assert.equal(await made(create('vm1.raw')), `${own}/images/vm1.raw`);
    assert.equal(await made(create(`${own}/images/vm2.raw`)), `${own}/images/vm2.raw`);
    const info = await run(['image', 'info', 'vm1.raw', 'vm2.raw', '-f', 'raw']);
    assert.match(info, /vm1\.raw[^]*vm2\.raw/);
    // As without a root: in the folder in which the command runs.
    await wrong(create('./vm3.raw'), 4, /PATH_OUTSIDE_ROOTS/);
    await wrong(create('vm3.raw'), 4, /PATH_OUTSIDE_ROOTS/, { HOSTLER_ADDRESS: address });
  });

  it('mistakes are named', async () => {
    const add = (name: string, ...more: string[]) => ['context', 'add', name, ...more];
    await wrong(add('near'), 2, /needs --address/, { HOSTLER_ADDRESS: 'unix:///x' });
    await wrong(add('near', '--address', 'http://x'), 2, /must be unix:/);
    await wrong(add('near', '--address', 'unix:///x', ...tls().flat()), 2, /do not speak TLS/);
    await wrong(add('near', '--address', 'tcp://h:1', '--tls-ca', '/ca'), 2, /go together/);
    await wrong(
      add('near', '--address', 'unix:///x', '--root', 'images'),
      2,
      /--root images: must be the absolute path/,
    );
    await wrong(add('../near', '--address', 'unix:///x'), 2, /letters, digits/);
    await run(add('near', '--address', 'unix:///x'));
    await wrong(add('near', '--address', 'unix:///y'), 2, /there is a context near/);
    await wrong(['context', 'use', 'prod'], 2, /contexts\.json has no context prod, only near/);
    await wrong(['context', 'rm', 'prod'], 2, /no context prod/);
    await wrong(ARCH, 2, /no context prod/, { HOSTLER_CONTEXT: 'prod' });
    for (const [content, message] of [
      ['{"current":', /contexts\.json: it is no JSON/],
      ['[]', /it is no object/],
      ['{"contexts": {"a": {"adress": "unix:///x"}}}', /context a: `address` is missing/],
      ['{"contexts": {"a": {"address": "tcp://h:1", "tls_ca": "/x"}}}', /context a: .* go together/],
    ] as const) {
      await mkdir(folder(), { recursive: true });
      await writeFile(file(), content);
      await wrong(ARCH, 1, message);
    }
  });
});
