/**
 * What people read when something is wrong: one line that says what, no stack, and an exit code
 * that a script can use.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Daemon, HOSTLER, HOSTLERD, suiteDaemon } from '../../support/daemon.js';
import { Pki } from '../../support/hosts/pki.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure } from '../../support/stranger.js';

const STACK = /\n\s+at .*:\d+:\d+|node:internal/;

describe('words', () => {
  const scratch = scratchFolder();
  let pki: Pki;
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'] });
    await pki.issue('client', 'admin');
  });
  const secure = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    toml: [pki.toml(), '[[callers]]\nname = "cn:admin"\nrole = "admin"\n'].join('\n'),
  }));
  const image = (name: string) => secure.get().image(name);
  const hostler = (...args: string[]) => tryRun(HOSTLER, ['--address', secure.get().address, ...args]);
  const proof = (mine: Pki, authority: Pki) => [
    ...['--tls-ca', authority.path('ca.pem')],
    ...['--tls-cert', mine.path('admin.pem'), '--tls-key', mine.path('admin.key')],
  ];

  describe('of the command', () => {
    const cases: readonly (readonly [string, () => string[], number, RegExp])[] = [
      [
        'a local file that is missing',
        () => ['image', 'upload', '/none/here', image('u'), '-f', 'raw'],
        1,
        /no such file or directory.*\/none\/here/,
      ],
      ['a local folder for a file', () => ['file', 'write', image('w'), '--from', '/tmp'], 1, /is a folder/],
      ['XML that is missing', () => ['disk', 'find-root', '--xml', '/none/here'], 1, /no such file/],
      ['a domain that was not named', () => ['disk', 'find-root'], 2, /give the name of a domain/],
      ['a domain and XML', () => ['disk', 'find-root', 'vm', '--xml', '/none'], 2, /give the name of a domain/],
      [
        'a configuration that is missing',
        () => ['auth', 'check', '--as', 'local', 'CopyImage', '--config', '/none'],
        1,
        /cannot be used: \/none: no such file/,
      ],
      [
        'a certificate that is missing',
        () => [...proof(pki, pki).slice(0, 5), '/none', 'ops', 'ls'],
        2,
        /unix sockets/,
      ],
    ];
    for (const [title, args, code, words] of cases)
      it(`${title}: exit code ${String(code)}`, async () => {
        const ended = await hostler(...args());
        assert.match(ended.stderr, words);
        assert.equal(ended.code, code, ended.stderr);
        assert.doesNotMatch(ended.stderr, STACK);
      });

    it('a pipe whose reader has gone is no crash', async () => {
      const { stderr } = await tryRun('bash', [
        '-c',
        `${HOSTLER} --address ${secure.get().address} host info --json | true`,
      ]);
      assert.doesNotMatch(stderr, STACK);
      assert.doesNotMatch(stderr, /EPIPE/);
    });

    it('watching an operation that has failed ends as its own command did', async function () {
      await needsSandbox.call(this);
      await writeFile(image('bad.raw'), Buffer.alloc(65536, 1));
      const command = [
        'image',
        'fetch',
        image('bad.raw'),
        image('f'),
        '--format',
        'raw',
        '--checksum',
        `sha256:${'0'.repeat(64)}`,
      ];
      const failed = await hostler(...command);
      const listed = (await hostler('--json', 'ops', 'ls')).stdout;
      const { operations } = JSON.parse(listed) as { operations: { operationId: string }[] };
      const id = operations.at(-1)?.operationId ?? '';
      const watched = await hostler('ops', 'watch', id);
      assert.equal(watched.code, failed.code, watched.stderr);
      assert.notEqual(watched.code, 0);
      assert.match(watched.stderr, /CHECKSUM_MISMATCH/);
    });

    it('a plan that writes nothing says nothing of free space; a change without data counts none', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('leak.qcow2'), '1M');
      const plan = await hostler('file', 'chown', '0:0', image('leak.qcow2'), '--plan');
      assert.equal(plan.code, 0, plan.stderr);
      assert.doesNotMatch(plan.stdout, /free/);
      await hostler('image', 'overlay', image('over.qcow2'), image('leak.qcow2'), '-F', 'qcow2');
      const commit = await hostler('image', 'commit', image('over.qcow2'), '-f', 'qcow2');
      assert.equal(commit.code, 0, commit.stderr);
      assert.doesNotMatch(`${commit.stdout}${commit.stderr}`, /0 B of 0 B/);
    });
  });

  describe('of requests', () => {
    const fields = async (rpc: string, request: object) => {
      const { fields: names, message } = await failure(
        secure.get().stranger.all(`ImageService/${rpc}`, { ...request }),
      );
      return `${names.join(' ')}: ${message}`;
    };
    it('a size is blamed by the name it was given under', async () => {
      const create = { path: image('s'), format: 'raw' };
      assert.match(await fields('CreateImage', { ...create, size: '1x' }), /^size: /);
      assert.match(
        await fields('CreateImage', { ...create, virtual_size_bytes: '18446744073709551615' }),
        /^virtual_size_bytes: /,
      );
      assert.match(await fields('ResizeImage', { ...create, size: '' }), /^size: /);
      assert.match(await fields('CreateImage', create), /^virtual_size: .*required/);
    });
    it('no text of the schema library comes out', async () => {
      const odd = { path: image('s'), format: 'raw', size: '1M', attributes: { mode: 99999999 }, labels: { '': 'x' } };
      for (const text of [
        await fields('CreateImage', { ...odd, request_id: 'x'.repeat(200) }),
        await fields('CopyImage', { source: image('s'), target: image('t'), engine: 77 }),
        await fields('FetchImage', { target: image('t') }),
      ])
        assert.doesNotMatch(text, /Invalid (input|option)|Too (big|small)|expected/);
    });
    it('a shrink that was not asked for depends on the image, not on the request', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('large.qcow2'), '1M');
      const error = await failure(
        secure
          .get()
          .stranger.all('ImageService/ResizeImage', { path: image('large.qcow2'), format: 'qcow2', size: '512K' }),
      );
      assert.equal(error.reason, 'WOULD_SHRINK');
      assert.deepEqual(error.fields, []);
    });
  });

  describe('of the daemon', () => {
    const hostlerd = (...args: string[]) => tryRun(HOSTLERD, args);
    const configured = async (toml: string): Promise<string> => {
      const file = scratch.path('check.toml');
      await writeFile(file, toml);
      return file;
    };
    it('an argument that it does not know', async () => {
      const unknown = await hostlerd('--confg', 'x');
      assert.deepEqual([unknown.code, STACK.test(unknown.stderr)], [1, false]);
      assert.match(unknown.stderr, /'--confg'[\s\S]*usage: hostlerd/);
    });
    it('two modes at the same time, and an option of another mode', async () => {
      for (const [args, says] of [
        [['--check-config', '--doctor'], /--check-config and --doctor do not go together\nusage: hostlerd/],
        [['--force', '--check-config'], /--force goes with --remove-folders-of\nusage/],
        [['--json'], /--json goes with --doctor\nusage/],
      ] as const) {
        const { code, stderr } = await hostlerd(...args);
        assert.deepEqual([code, STACK.test(stderr)], [1, false]);
        assert.match(stderr, says);
      }
    });
    it('a reader that has gone, or a full disk, without a stack', async () => {
      const file = await configured(`[[roots]]\npath = "${scratch.path()}"\n`);
      for (const mode of ['--help', '--version', '--show-config']) {
        const { code, stderr } = await tryRun('bash', [
          '-c',
          `exec "$0" "$@" >/dev/full`,
          HOSTLERD,
          '--config',
          file,
          mode,
        ]);
        assert.deepEqual({ code, stderr }, { code: 1, stderr: '' });
      }
    });
    it('a configuration that is no TOML in one line, without what stands there', async () => {
      const { code, stderr } = await hostlerd(
        '--config',
        await configured('a = 1\nb = \u001B[31m\n'),
        '--check-config',
      );
      assert.deepEqual([code, stderr.includes('\u001B')], [1, false]);
      assert.match(stderr, /^hostlerd: \S+check\.toml: line 2, column \d+: [^\n]+\n$/);
    });
    it('a port that is taken, once, and not as a connection that was refused', async () => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const address = `127.0.0.1:${String((taken.address() as AddressInfo).port)}`;
      const settings = { 'server.http': { http: address }, 'server.listen': { listen: [`tcp://${address}`] } };
      for (const [setting, options] of Object.entries(settings)) {
        const daemon = await Daemon.spawn(scratch.path(`taken-${setting}`), options);
        assert.equal(await daemon.exited, 1);
        const lines = daemon.log.split('\n').filter((line) => /in use|EADDRINUSE|refused/.test(line));
        assert.equal(lines.length, 1, daemon.log);
        assert.match(lines[0] ?? '', /^hostlerd: cannot listen on .*127\.0\.0\.1:\d+ .*: address in use/);
        assert.ok(lines[0]?.includes(setting), lines[0]);
        assert.doesNotMatch(daemon.log, STACK);
      }
      taken.close();
    });
    it('--check-config finds everything that would stop the start', async () => {
      await mkdir(scratch.path('there'));
      await writeFile(scratch.path('a-file'), '');
      const file = await configured(
        [
          `state_dir = "${scratch.path('a-file')}/state"`,
          `[tls]\ncert = "/none/cert.pem"\nkey = "/none/key.pem"\nca = "/none/ca.pem"`,
          `[[roots]]\npath = "${scratch.path('there')}"`,
          `[[roots]]\npath = "/none/root"`,
          `[[roots]]\npath = "${scratch.path('a-file')}"`,
          `[[commands]]\nname = "x"\nexecutable = "/none/tool"\narguments = []`,
        ].join('\n'),
      );
      const { code, stderr } = await hostlerd('--config', file, '--check-config');
      assert.equal(code, 1);
      for (const words of [
        /root \/none\/root cannot be opened/,
        /a-file is no folder/,
        /command x cannot be run/,
        /none\/(cert|key|ca)\.pem/,
      ])
        assert.match(stderr, words);
      assert.doesNotMatch(stderr, /there cannot|there is no folder/);
      assert.doesNotMatch(stderr, STACK);
    });
    it('--check-config of a configuration that a daemon runs with is ok, and makes nothing', async () => {
      const { code, stdout } = await hostlerd('--config', scratch.path('daemon/hostler.toml'), '--check-config');
      assert.deepEqual([code, stdout.trim().endsWith(': ok')], [0, true]);
    });
    it('codes are names in the log, and a line without a cause has none', () => {
      const { log } = secure.get();
      assert.doesNotMatch(log, /"code":"\d+"/);
      assert.doesNotMatch(log, /"cause":"undefined"/);
      assert.match(log, /"code":"(INVALID_ARGUMENT|FAILED_PRECONDITION)"/);
    });
  });
});
