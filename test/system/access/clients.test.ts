/**
 * Clients in other languages, with nothing but reflection: grpcurl and Python. And our own command.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOSTLER, ROOT_FOLDER, suiteDaemon } from '../../support/daemon.js';
import { noise, sparseFile } from '../../support/images/disks.js';
import { installed, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun, type Ended } from '../../support/shell.js';

const MIB = 1024 * 1024;
const GRPCURL = join(ROOT_FOLDER, '.cache/go/bin/grpcurl');
const PYTHON = join(ROOT_FOLDER, '.cache/python/bin/python');

interface Detail {
  readonly '@type': string;
  readonly reason: string;
  readonly domain: string;
}

const SCRIPT = `
import sys, grpc
from google.protobuf import descriptor_pool, message_factory, json_format
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
channel = grpc.insecure_channel(sys.argv[1])
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
def call(name, stream, service='ImageService', messages=None, **fields):
    method = pool.FindServiceByName('hostler.v1.' + service).FindMethodByName(name)
    request = message_factory.GetMessageClass(method.input_type)(**fields)
    answer = message_factory.GetMessageClass(method.output_type)
    path = '/hostler.v1.' + service + '/' + name
    kind = channel.stream_unary if messages else channel.unary_stream if stream else channel.unary_unary
    rpc = kind(path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString)
    return rpc(iter([message_factory.GetMessageClass(method.input_type)(**m) for m in messages]) if messages else request)
events = list(call('CreateImage', True, path=sys.argv[2], format='qcow2', size='5G'))
assert events[-1].result.image.info.virtual_size_bytes == 5 << 30, events[-1]
info = call('GetImageInfo', False, path=sys.argv[2], format='qcow2').info
print(info.format, info.virtual_size_bytes)
try:
    list(call('CreateImage', True, path=sys.argv[2], format='qcow2', size='5G'))
except grpc.RpcError as error:
    print(error.code().name)
path = sys.argv[2] + '.txt'
call('WriteFile', False, 'FileService', [{'header': {'path': path, 'umask': 0o77}}, {'data': b'one '}, {'data': b'two'}])
print(b''.join(m.data for m in call('ReadFile', True, 'FileService', path=path)).decode())
print(oct(call('StatFile', False, 'FileService', path=path).mode), call('DeleteFile', False, 'FileService', path=path).existed)
print(call('GetArchitecture', False, 'HostInfoService', image_architecture='amd64').architecture)
`;

describe('clients', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);

  describe('grpcurl', () => {
    before(function () {
      needs(this, existsSync(GRPCURL), 'grpcurl could not be installed');
    });
    const grpcurl = (...args: string[]) =>
      tryRun(GRPCURL, ['-plaintext', '-unix', ...args.slice(0, -1), scratch.path('daemon/s.sock'), ...args.slice(-1)]);

    it('lists every service', async () => {
      const { stdout } = await grpcurl('list');
      const services = ['CommandService', 'FileService', 'HostInfoService', 'ImageService', 'OperationService'].map(
        (name) => `hostler.v1.${name}`,
      );
      for (const name of [...services, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'])
        assert.ok(stdout.includes(name), name);
    });

    it('describes every method of every service', async () => {
      for (const service of (await grpcurl('list')).stdout.trim().split('\n')) {
        const { code, stderr } = await tryRun(GRPCURL, [
          '-plaintext',
          '-unix',
          scratch.path('daemon/s.sock'),
          'describe',
          service,
        ]);
        assert.equal(code, 0, stderr);
      }
    });

    it('creates and inspects an image, and sees the reason of an error', async () => {
      const create = JSON.stringify({ path: image('curl.qcow2'), format: 'qcow2', size: '1G' });
      const made = await grpcurl('-d', create, 'hostler.v1.ImageService/CreateImage');
      assert.equal(made.code, 0, made.stderr);
      const info = await grpcurl(
        '-d',
        JSON.stringify({ path: image('curl.qcow2') }),
        'hostler.v1.ImageService/GetImageInfo',
      );
      assert.match(info.stdout, /"virtualSizeBytes": "1073741824"/);
      const again = await grpcurl('-d', create, 'hostler.v1.ImageService/CreateImage');
      assert.match(again.stderr, /AlreadyExists[\s\S]*"reason": "TARGET_EXISTS"/);
    });

    it('files and the host', async () => {
      const call = async (rpc: string, ...requests: object[]) => {
        const data = requests.map((request) => JSON.stringify(request)).join('');
        const { code, stdout, stderr } = await grpcurl('-d', data, `hostler.v1.${rpc}`);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const path = image('curl.txt');
      const data = Buffer.from('hello').toString('base64');
      assert.match(
        await call('FileService/WriteFile', { header: { path } }, { data }, { data }),
        /"writtenBytes": "10"/,
      );
      assert.match(await call('FileService/ReadFile', { path, offset: 5 }), new RegExp(`"data": "${data}"`));
      assert.match(await call('FileService/StatFile', { path }), /"exists": true,\s+"fileType": "FILE_TYPE_REGULAR"/);
      assert.match(await call('FileService/TouchFile', { path }), /"existed": true/);
      assert.match(await call('FileService/Chown', { path, owner: String(process.getuid?.()) }), /SUCCEEDED/);
      assert.match(await call('FileService/DeleteFile', { path }), /"existed": true/);
      assert.match(await call('HostInfoService/GetHostInfo', {}), /"name": "qemu-img"/);
      assert.match(
        await call('HostInfoService/GetFilesystemInfo', { path: image('').replace(/\/$/, '') }),
        /totalBytes/,
      );
      assert.match(await call('HostInfoService/ValidateHostname', { hostname: '240:2ac3::2' }), /IPV6/);
      const missing = await grpcurl('-d', JSON.stringify({ name: 'x' }), 'hostler.v1.CommandService/Execute');
      assert.match(missing.stderr, /NotFound[\s\S]*"reason": "COMMAND_NOT_FOUND"/);
    });

    it('health says SERVING', async () => {
      const { stdout } = await grpcurl('-d', '{"service":"hostler.v1.ImageService"}', 'grpc.health.v1.Health/Check');
      assert.match(stdout, /SERVING/);
    });
  });

  it('Python with reflection and no generated code', async function () {
    this.timeout(60_000);
    needs(this, existsSync(PYTHON), "Python's grpcio could not be installed");
    const { code, stdout, stderr } = await tryRun(PYTHON, [
      '-c',
      SCRIPT,
      `unix:${scratch.path('daemon/s.sock')}`,
      image('python.qcow2'),
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, 'qcow2 5368709120\nALREADY_EXISTS\none two\n0o600 True\nx86_64\n');
  });

  describe('hostler', () => {
    const hostler = (...args: string[]): Promise<Ended> =>
      tryRun(HOSTLER, args, { env: { HOSTLER_ADDRESS: daemon.get().address } });
    const json = async (...args: string[]): Promise<unknown> => {
      const { code, stdout, stderr } = await hostler('--json', ...args);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };
    const listed = async (...args: string[]): Promise<readonly { readonly operationId: string }[]> => {
      const { operations } = (await json('ops', 'ls', ...args)) as { operations: { operationId: string }[] };
      return operations;
    };

    before(async () => {
      await sparseFile(image('disk.raw'), 64 * MIB, [{ at: 0, length: 16 * MIB }]);
      await writeFile(image('noise.raw'), noise(8 * MIB));
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('there.qcow2'), '1G');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image('there.qcow2'), image('on.qcow2'));
    });

    it('does the main job', async () => {
      for (const args of [
        ['create', image('c.qcow2'), '1G', '-f', 'qcow2', '--mode', '0640'],
        [
          'convert',
          image('disk.raw'),
          image('d.qcow2'),
          '-f',
          'raw',
          '-O',
          'qcow2',
          '-c',
          '--compression-type',
          'zstd',
        ],
        ['overlay', image('o.qcow2'), image('d.qcow2'), '-F', 'qcow2'],
        ['copy', image('o.qcow2'), image('p.qcow2'), '--verify'],
        ['extract', image('o.qcow2'), image('e.raw'), '-f', 'qcow2', '-O', 'raw'],
        ['inspect', image('o.qcow2'), '-f', 'qcow2'],
        ['map', image('o.qcow2'), '-f', 'qcow2'],
        ['measure', image('disk.raw'), '-f', 'raw', '-O', 'qcow2'],
        ['rm', image('p.qcow2')],
      ]) {
        const { code, stderr, stdout } = await hostler('image', ...args);
        assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
        assert.notEqual(stdout, '');
      }
    });

    it('--json answers for programs', async () => {
      const answer = (await json('image', 'info', image('on.qcow2'), '-f', 'qcow2', '--chain')) as {
        info: { format: string };
        backingChain: unknown[];
      };
      assert.equal(answer.info.format, 'qcow2');
      assert.equal(answer.backingChain.length, 1);
      const labelled = ['--label', 'test=json'];
      const [from, to] = [image('there.qcow2'), image('json.raw')];
      await json('image', 'convert', from, to, '-f', 'qcow2', '-O', 'raw', ...labelled);
      const operations = await listed('--state', 'succeeded', '--method', 'ConvertImage', ...labelled);
      assert.equal(operations.length, 1);
      const one = (await json('ops', 'show', operations[0]?.operationId ?? '')) as { method: string };
      assert.equal(one.method, 'ConvertImage');
    });

    it('ops ls selects and limits, in both orders, and shows whose and why', async () => {
      const labels = ['--label', 'test=ls', '--label', 'more=a b'];
      const create = (name: string) => hostler('image', 'create', image(name), '1000', '-f', 'raw', ...labels);
      const made = await create('ls-1.raw');
      assert.match(made.stderr, /^hostler: warning: .* \[SIZE_ROUNDED_UP\]$/m);
      await create('ls-2.raw');
      const wrong = ['--checksum', `sha256:${'0'.repeat(64)}`];
      assert.equal(
        (await hostler('image', 'fetch-raw', image('ls-1.raw'), image('ls-3'), ...wrong, ...labels)).code,
        1,
      );
      const idsOf = async (...args: string[]) =>
        (await listed('--label', 'test=ls', ...args)).map(({ operationId }) => operationId);
      const all = await idsOf();
      assert.deepEqual(all, [...all].sort());
      assert.deepEqual(await idsOf('--newest'), [...all].reverse());
      assert.deepEqual(await idsOf('--newest', '--limit', '1'), all.slice(-1));
      assert.deepEqual(await idsOf('--limit', '2'), all.slice(0, 2));
      assert.deepEqual(await idsOf('--since', '1h'), all);
      assert.deepEqual(await idsOf('--until', '1h'), []);
      assert.deepEqual(await idsOf('--since', '2999-01-01'), []);
      assert.deepEqual(await idsOf('--reason', 'checksum_mismatch'), all.slice(-1));
      const { stdout } = await hostler('ops', 'ls', '--label', 'test=ls', '--newest', '--limit', '1');
      const [header = '', row = ''] = stdout.split('\n');
      assert.match(header, /^OPERATION +METHOD +STATE +AGE +TOOK +CALLER +REASON +LABELS +PATHS$/);
      assert.match(row, /FetchRawImage +failed +\d+s +\d+s +\S+ +CHECKSUM_MISMATCH +.*test=ls/);
      for (const bad of [
        ['--limit', '0'],
        ['--limit', 'x'],
        ['--since', 'yesterday'],
        ['--until', '5w'],
      ])
        assert.equal((await hostler('ops', 'ls', ...bad)).code, 2, bad.join(' '));
    });

    it('ops watch ends with what its operation came to', async () => {
      const { result } = (await json('image', 'create', image('watched.raw'), '1000', '-f', 'raw')) as {
        result: { image: { info: { path: string } } };
      };
      const [latest] = await listed('--newest', '--limit', '1');
      const watched = await hostler('ops', 'watch', latest?.operationId ?? '');
      assert.equal(watched.code, 0);
      assert.ok(watched.stdout.startsWith(`succeeded\n${result.image.info.path}: raw`), watched.stdout);
      assert.match(watched.stderr, /\[SIZE_ROUNDED_UP\]/);
      const wrong = ['--checksum', `sha256:${'0'.repeat(64)}`];
      const own = await hostler('image', 'fetch-raw', image('watched.raw'), image('no.raw'), ...wrong);
      const [last] = await listed('--newest', '--limit', '1');
      const again = await hostler('ops', 'watch', last?.operationId ?? '');
      assert.deepEqual([again.code, again.stdout.trim()], [own.code, 'failed']);
      assert.equal(again.stderr.trim().split('\n').at(-1), own.stderr.trim().split('\n').at(-1));
    });

    it('a plan changes nothing', async () => {
      const plan = (await json('image', 'copy', image('disk.raw'), image('plan.raw'), '--plan')) as {
        result: { plan: { method: string } };
      };
      assert.match(plan.result.plan.method, /REFLINK|LOCAL_SPARSE/);
      assert.ok(!existsSync(image('plan.raw')));
    });

    it('--json answers lists and maps as one object', async () => {
      const map = (await json('image', 'map', image('disk.raw'), '-f', 'raw')) as {
        extents: { lengthBytes: string }[];
      };
      assert.equal(
        map.extents.reduce((sum, { lengthBytes }) => sum + BigInt(lengthBytes), 0n),
        BigInt(64 * MIB),
      );
      const some = (await json('image', 'info', image('disk.raw'), image('there.qcow2'))) as { results: object[] };
      assert.equal(some.results.length, 2);
      assert.deepEqual(await json('ops', 'ls', '--label', 'test=none'), {
        operations: [],
        nextPageToken: '',
        cursor: ((await json('ops', 'ls', '--label', 'test=none')) as { cursor: string }).cursor,
      });
      assert.deepEqual(await json('cache', 'ls'), { images: [], nextPageToken: '', setAside: [] });
    });

    const failures: [string, () => string[], number, RegExp][] = [
      ['usage', () => ['image', 'create', 'x'], 2, /required option/],
      ['a local file', () => ['image', 'upload', '/none/here', image('u'), '-f', 'raw'], 1, /no such file/],
      ['a bad size', () => ['image', 'create', image('x'), '10GB', '-f', 'raw'], 2, /INVALID_FIELD/],
      ['not found', () => ['image', 'info', image('none')], 3, /IMAGE_NOT_FOUND/],
      [
        'refused',
        () => ['image', 'create', image('there.qcow2'), '1G', '-f', 'qcow2'],
        4,
        /TARGET_EXISTS[\s\S]*overwrite/,
      ],
      [
        'nobody there',
        () => ['--address', 'unix:///nowhere.sock', 'ops', 'ls'],
        7,
        /no connection to unix:\/\/\/nowhere\.sock: there is no such socket/,
      ],
      ['a bad address', () => ['--address', 'http://x', 'ops', 'ls'], 2, /must be unix/],
    ];
    for (const [title, args, code, text] of failures) {
      it(`exit code ${String(code)}: ${title}`, async () => {
        const ended = await hostler(...args());
        assert.equal(ended.code, code, ended.stderr);
        assert.match(ended.stderr, text);
      });

      it(`--json has the same shape for it: ${title}`, async () => {
        const ended = await hostler('--json', ...args());
        assert.equal(ended.code, code, ended.stderr);
        assert.match(ended.stderr, text);
        const printed = JSON.parse(ended.stdout) as { error: { code: number; message: string; details: Detail[] } };
        assert.deepEqual(Object.keys(printed), ['error']);
        assert.deepEqual(Object.keys(printed.error), ['code', 'message', 'details']);
        const [info] = printed.error.details;
        assert.equal(info?.['@type'], 'type.googleapis.com/google.rpc.ErrorInfo');
        assert.match(`${info.domain} ${info.reason}`, /^hostler(?:-client)? [A-Z_]+$/);
      });
    }

    it('exit code 5: busy; detach, watch and cancel', async () => {
      const started = await hostler(
        'image',
        'convert',
        image('noise.raw'),
        image('busy.qcow2'),
        '-f',
        'raw',
        '-O',
        'qcow2',
        '--bandwidth',
        '64K',
        '--detach',
        '--label',
        'test=busy',
      );
      const id = started.stdout.trim();
      const busy = await hostler(
        'image',
        'convert',
        image('noise.raw'),
        image('busy.qcow2'),
        '-f',
        'raw',
        '-O',
        'qcow2',
      );
      assert.equal(busy.code, 5);
      assert.match(busy.stderr, new RegExp(id));
      const cancelled = await hostler('ops', 'cancel', '--label', 'test=busy');
      assert.match(cancelled.stdout, new RegExp(`${id} cancelled\\n  ended process \\d+\\n  removed `));
      const watched = await hostler('ops', 'watch', id);
      assert.match(watched.stdout, /cancelled/);
      assert.equal(watched.code, 130, watched.stderr);
    });

    it('Ctrl-C cancels and says what was removed', async () => {
      const args = [
        'image',
        'convert',
        image('noise.raw'),
        image('int.qcow2'),
        '-f',
        'raw',
        '-O',
        'qcow2',
        '--bandwidth',
        '512K',
      ];
      const ended = await tryRun(HOSTLER, args, {
        env: { HOSTLER_ADDRESS: daemon.get().address },
        signalWhen: { says: /converting/, signal: 'SIGINT' },
      });
      assert.equal(ended.code, 130, ended.stderr);
      assert.match(ended.stderr, /cancelled\n {2}ended process \d+\n {2}removed .*part/);
      assert.deepEqual(await daemon.get().leftovers(), []);
    });

    it('shows a live bar on a terminal', async function () {
      needs(this, installed('script'), 'script(1) is not installed');
      const command = `${HOSTLER} --address ${daemon.get().address} image convert ${image('noise.raw')} ${image('tty.qcow2')} -f raw -O qcow2 --bandwidth 4M`;
      const { code, stdout } = await tryRun('script', ['-qec', command, '/dev/null']);
      assert.equal(code, 0, stdout);
      assert.match(stdout, /converting +\[.*\] +\d+%/);
      assert.match(stdout, /MiB\/s/);
    });
  });
});
