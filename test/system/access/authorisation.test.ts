/**
 * Roles of the configuration at work: where a path really leads, whose an operation is, and what is
 * written down.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';

describe('roles', () => {
  const scratch = scratchFolder();
  const clients = new Map<string, Stranger>();
  const socket = (name: string) => scratch.path('daemon', `${name}.sock`);
  const image = (name: string) => daemon.get().image(name);
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      ...['own', 'see', 'all', 'labelled', 'viewer'].map(
        (role) => `[[listeners]]\naddress = "unix://${socket(role)}"\nrole = "${role}"`,
      ),
      ...['own', 'see', 'all', 'labelled'].map((role) =>
        [
          `[roles.${role}]\nservices = ["ImageService", "OperationService", "FileService"]\nmethods = ["GetHostInfo"]`,
          `read = ["${scratch.path('daemon/images/ours')}"]\nwrite = ["${scratch.path('daemon/images/ours/w')}"]`,
          `operations = "${role === 'labelled' ? 'all' : role}"`,
          ...(role === 'labelled' ? ['labels = { team = "x" }'] : []),
        ].join('\n'),
      ),
    ].join('\n'),
  }));
  before(async () => {
    await mkdir(image('ours/w'), { recursive: true });
    await mkdir(image('theirs'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('theirs/base.qcow2'), '1M');
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-u',
      '-b',
      image('theirs/base.qcow2'),
      '-F',
      'qcow2',
      image('ours/w/overlay.qcow2'),
      '1M',
    );
    await sh('qemu-img', 'create', '-q', '-f', 'raw', image('ours/read.raw'), '1M');
    await symlink('../../theirs/base.qcow2', image('ours/w/link'));
    await symlink('../read.raw', image('ours/w/up'));
    for (const name of ['own', 'see', 'all', 'labelled', 'viewer'])
      clients.set(name, new Stranger(`unix://${socket(name)}`));
  });
  scratch.onEnd(() => {
    for (const client of clients.values()) client.close();
    return Promise.resolve();
  });
  const as = (name: string) => clients.get(name) ?? assert.fail(name);
  const run = (name: string, rpc: string, request: Message) => as(name).operation(`ImageService/${rpc}`, request);
  const create = (name: string, path: string, more: Message = {}) =>
    run(name, 'CreateImage', { path, format: 'raw', size: '1K', overwrite: true, ...more });

  it('a role reaches its places, and no further by a link inside the root', async () => {
    const info = (path: string) => as('own').unary('ImageService/GetImageInfo', { path, format: 'qcow2' });
    await info(image('ours/w/overlay.qcow2'));
    for (const path of ['theirs/base.qcow2', 'ours/w/link'])
      assert.equal((await failure(info(image(path)))).reason, 'PATH_OUTSIDE_ROOTS', path);
    const touch = (path: string) => as('own').unary('FileService/StatFile', { path });
    assert.equal((await failure(touch(image('ours/w/link')))).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('what a header names must be in its places too', async () => {
    const request = {
      source: image('ours/w/overlay.qcow2'),
      source_format: 'qcow2',
      target: image('ours/w/leak.raw'),
      target_format: 'raw',
    };
    assert.equal((await failure(run('own', 'ConvertImage', request))).reason, 'PATH_OUTSIDE_ROOTS');
    const chain = { path: image('ours/w/overlay.qcow2'), format: 'qcow2', backing_chain: true };
    assert.equal((await failure(as('own').unary('ImageService/GetImageInfo', chain))).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('what may be read only is not changed, also by a link', async () => {
    assert.equal((await failure(create('own', image('ours/new.raw')))).reason, 'ROOT_READ_ONLY');
    await create('own', image('ours/w/new.raw'));
    for (const path of ['ours/read.raw', 'ours/w/up']) {
      const request = { path: image(path), format: 'raw', size: '2M' };
      assert.equal((await failure(run('own', 'ResizeImage', request))).reason, 'ROOT_READ_ONLY', path);
    }
    assert.equal((await stat(image('ours/read.raw'))).size, 1 << 20);
  });

  it('an operation belongs to its caller; others see or cancel it by role', async () => {
    const started = await daemon.get().stranger.all('ImageService/CreateImage', {
      path: image('ours/w/ops.raw'),
      format: 'raw',
      size: '1K',
    });
    const id = String(started[0]?.['operation_id']);
    const get = (name: string) => as(name).unary('OperationService/GetOperation', { operation_id: id });
    const cancel = (name: string) => as(name).unary('OperationService/CancelOperation', { operation_id: id });
    assert.equal((await failure(get('own'))).reason, 'OPERATION_NOT_FOUND');
    assert.equal((await failure(cancel('own'))).reason, 'OPERATION_NOT_FOUND');
    await get('see');
    assert.equal((await failure(cancel('see'))).reason, 'METHOD_NOT_ALLOWED');
    await cancel('all');
    const listed = async (name: string) => {
      const { operations = [] } = await as(name).unary('OperationService/ListOperations', {});
      return (operations as Message[]).some((each) => each['operation_id'] === id);
    };
    assert.deepEqual([await listed('own'), await listed('see'), await listed('labelled')], [false, true, false]);
  });

  it('labels cancel only what the caller may cancel', async () => {
    await writeFile(image('theirs/big.raw'), Buffer.alloc(8 << 20, 7));
    const watched = daemon.get().stranger.stream('ImageService/ConvertImage', {
      source: image('theirs/big.raw'),
      source_format: 'raw',
      target: image('ours/w/big.raw'),
      target_format: 'raw',
      bandwidth_bytes_per_second: '65536',
      labels: { job: '2' },
    });
    watched.on('error', () => undefined);
    await new Promise((resolve) => watched.once('data', resolve));
    const cancel = (name: string) => as(name).unary('OperationService/CancelOperation', { labels: { job: '2' } });
    assert.deepEqual((await cancel('see'))['operations'] ?? [], []);
    const byLocal = await daemon.get().stranger.unary('OperationService/CancelOperation', { labels: { job: '2' } });
    assert.equal((byLocal['operations'] as Message[]).length, 1);
  });

  it('operations of a role with labels carry them', async () => {
    const refused = await failure(create('labelled', image('ours/w/l.raw'), { labels: { team: 'y' } }));
    assert.equal(refused.reason, 'METHOD_NOT_ALLOWED');
    await create('labelled', image('ours/w/l.raw'), { labels: { a: 'b' } });
    const { operations } = await as('labelled').unary('OperationService/ListOperations', {
      filter: { labels: { a: 'b' } },
    });
    assert.deepEqual((operations as Message[])[0]?.['labels'], { a: 'b', team: 'x' });
  });

  it('GetHostInfo shows no path that the caller does not reach', async () => {
    const paths = async (name: string) => {
      const info = await as(name).unary('HostInfoService/GetHostInfo');
      return {
        roots: (info['roots'] as Message[]).map(({ path }) => path),
        tools: (info['tools'] as Message[]).filter(({ path }) => typeof path === 'string' && path.startsWith('/')),
      };
    };
    assert.deepEqual(await paths('own'), { roots: [image('ours'), image('ours/w')], tools: [] });
    assert.deepEqual(await paths('viewer'), { roots: [scratch.path('daemon/images')], tools: [] });
    const { tools } = await daemon.get().stranger.unary('HostInfoService/GetHostInfo');
    assert.ok((tools as Message[]).some(({ path }) => String(path).startsWith('/')));
  });

  const checkBy = async (config: string, ...args: string[]) => {
    const words = ['--json', 'auth', 'check', '--config', scratch.path(config), ...args];
    const { code, stdout } = await tryRun(HOSTLER, words);
    const { allowed, why } = JSON.parse(stdout) as { allowed: boolean; why: string };
    return [code, allowed, why];
  };

  it('hostler auth check knows the roles of pools, and what is read-only', async () => {
    await writeFile(
      scratch.path('pools.toml'),
      [
        '[[clusters]]\nname = "c"',
        '[[pools]]\nname = "all"\ncluster = "c"',
        '[[pools]]\nname = "few"\ncluster = "c"\nroles = ["viewer"]',
        '[[pools]]\nname = "old"\ncluster = "c"\naccess = "read-only"',
        '[[roots]]\npath = "/srv"\naccess = "read-only"',
        '[[roots]]\npath = "/srv/in"',
      ].join('\n'),
    );
    for (const [method, path, told] of [
      ['CreateImage', 'rbd:all/x', undefined],
      ['CreateImage', 'rbd:few/x', /not for role admin/],
      ['GetImageInfo', 'rbd:old/x', undefined],
      ['CreateImage', 'rbd:old/x', /pool that is read-only/],
      ['CreateImage', 'rbd:none/x', /no pool none is configured/],
      ['CreateImage', 'rbd:x', /must be rbd:POOL/],
      ['CreateImage', '/srv/x', /root that is read-only/],
      ['CreateImage', '/srv/in/x', undefined],
    ] as const) {
      const [code, allowed, why] = await checkBy('pools.toml', '--as', 'local', method, path);
      assert.deepEqual([code, allowed], told === undefined ? [0, true] : [4, false], String(why));
      if (told !== undefined) assert.match(String(why), told);
    }
  });

  it('hostler auth check explains it', async () => {
    const check = (...args: string[]) => checkBy('daemon/hostler.toml', ...args);
    const own = ['--as', `unix:${socket('own')}`];
    assert.deepEqual(await check(...own, 'GetImageInfo', image('ours/x')), [0, true, 'role own allows it']);
    for (const [args, why] of [
      [['DeleteImage', image('ours/x')], /may only be read by role own/],
      [['ImageService/GetImageInfo', image('theirs/x')], /lies outside the places of role own/],
      [['GetFilesystemInfo', image('ours/x')], /role own does not name it/],
    ] as const) {
      const [code, allowed, told] = await check(...own, ...args);
      assert.deepEqual([code, allowed], [4, false]);
      assert.match(String(told), why);
    }
    assert.deepEqual((await check('--as', 'local', 'DeleteImage', '/etc/passwd')).slice(0, 2), [4, false]);
    assert.deepEqual((await check('--as', 'cn:nobody', 'GetHostInfo')).slice(0, 2), [4, false]);
  });
});

describe('the audit log', () => {
  const scratch = scratchFolder();
  const audit = () => scratch.path('audit.log');
  const lines = async (file = audit()) =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Message);
  const daemon = suiteDaemon(scratch, () => ({ toml: `[audit]\nfile = "${audit()}"\nmode = "require"\n` }));
  const create = (name: string, more: Message = {}) =>
    daemon.get().stranger.operation('ImageService/CreateImage', {
      path: daemon.get().image(name),
      format: 'raw',
      size: '1K',
      ...more,
    });

  it('says who, from where, what, on what, by which request and operation, with what result, and how long', async () => {
    await create('a.raw', { request_id: 'r1' });
    const own = (await lines()).filter(({ paths }) => String(paths) === daemon.get().image('a.raw'));
    const [begin, call] = own;
    assert.equal(begin?.['event'], 'begin');
    const { time, ms, operation_ids: ids, ...rest } = call ?? {};
    assert.deepEqual(rest, {
      event: 'call',
      caller: 'local',
      peer: daemon.get().address.replace('unix://', 'unix://'),
      rpc: 'hostler.v1.ImageService/CreateImage',
      paths: [daemon.get().image('a.raw')],
      request_id: 'r1',
      result: 'OK',
    });
    assert.ok(Date.parse(String(time)) > 0 && Number(ms) > 0 && /^[0-9A-Z]{26}$/.test(String((ids as string[])[0])));
    assert.equal((await stat(audit())).mode & 0o777, 0o600);
  });

  it('names what a batch was denied, a line for the call, and no line for one that was denied nothing', async () => {
    await create('batch.raw');
    const RPC = 'ImageService/BatchGetImageInfo';
    const of = async () => (await lines()).filter(({ rpc }) => rpc === `hostler.v1.${RPC}`);
    const batch = (...paths: string[]) => daemon.get().stranger.all(RPC, { paths });
    await batch(daemon.get().image('batch.raw'), daemon.get().image('absent'));
    assert.deepEqual(await of(), []);
    await batch('/etc/passwd', daemon.get().image('batch.raw'), '/etc/shadow');
    const many = Array.from({ length: 100 }, (_, n) => `/root/x${String(n)}`);
    await batch(...many);
    assert.deepEqual(
      (await of()).map(({ event, result, denied_paths: denied }) => [event, result, denied]),
      [
        ['call', 'OK', ['/etc/passwd', '/etc/shadow']],
        ['call', 'OK', [...many.slice(0, 32), '… (68 more)']],
      ],
    );
  });

  it('is made anew when it was moved away', async () => {
    await create('before.raw');
    await rename(audit(), `${audit()}.1`);
    const before = (await lines(`${audit()}.1`)).length;
    await create('rotated.raw');
    assert.deepEqual(
      (await lines()).map(({ event }) => event),
      ['begin', 'call'],
    );
    assert.equal((await lines(`${audit()}.1`)).length, before);
  });

  it('tells the end of what ends without its caller', async () => {
    const id = String(
      (
        await daemon.get().stranger.all('ImageService/CreateImage', {
          path: daemon.get().image('d.raw'),
          format: 'raw',
          size: '1K',
          detach: true,
        })
      )[0]?.['operation_id'],
    );
    const own = (await lines()).filter(({ event, operation_ids: ids }) => event === 'operation' && String(ids) === id);
    assert.deepEqual(
      own.map(({ result, rpc }) => [result, rpc]),
      [['OK', 'CreateImage']],
    );
  });

  it('tells what a crash ended, at the next start', async () => {
    const folder = scratch.path('crash');
    const file = join(folder, 'audit.log');
    const toml = `[audit]\nfile = "${file}"\n`;
    const killed = await Daemon.start(folder, { toml: `${toml}[debug]\nfailpoints = ["CreateImage:create:kill"]\n` });
    const request = { path: killed.image('a.raw'), format: 'raw', size: '1K' };
    await killed.stranger.all('ImageService/CreateImage', request).catch(() => undefined); // it dies under it
    await killed.exited;
    killed.stranger.close();
    const next = await Daemon.start(folder, { toml });
    scratch.onEnd(() => next.stop());
    const told = (await lines(file)).map(({ event, caller, result, paths }) => [event, caller, result, String(paths)]);
    assert.deepEqual(told, [['operation', 'local', 'AGENT_RESTARTED', request.path]]);
  });

  it('that cannot be written stops what changes something, and nothing else; what was missed is written later', async () => {
    const folder = scratch.path('full');
    const file = join(folder, 'audit/log');
    await mkdir(join(folder, 'audit'), { recursive: true });
    const other = await Daemon.start(folder, { toml: `[audit]\nfile = "${file}"\nmode = "require"\n` });
    scratch.onEnd(() => other.stop());
    const make = (name: string) =>
      other.stranger.operation('ImageService/CreateImage', { path: other.image(name), format: 'raw', size: '1K' });
    await make('a.raw');
    await rename(join(folder, 'audit'), join(folder, 'gone'));
    const error = await failure(make('b.raw'));
    assert.deepEqual([error.code, error.reason], [14, 'AUDIT_FAILED']);
    assert.deepEqual(await other.stranger.unary('FileService/StatFile', { path: other.image('b.raw') }), {});
    await mkdir(join(folder, 'audit'));
    await make('b.raw');
    const results = (await lines(file)).filter(({ event }) => event === 'call').map(({ result }) => result);
    assert.deepEqual(results, ['AUDIT_FAILED', 'OK']);
    await other.logged(/the audit log cannot be written/);
  });

  it('on a full device, too', async () => {
    const folder = scratch.path('device');
    const other = await Daemon.start(folder, { toml: `[audit]\nfile = "/dev/full"\nmode = "require"\n` });
    scratch.onEnd(() => other.stop());
    const request = { path: other.image('a.raw'), format: 'raw', size: '1K' };
    assert.equal((await failure(other.stranger.all('ImageService/CreateImage', request))).reason, 'AUDIT_FAILED');
    await other.stranger.unary('OperationService/ListOperations');
  });

  it('that is not required lets the work go on', async () => {
    const folder = scratch.path('lenient');
    const other = await Daemon.start(folder, { toml: `[audit]\nfile = "/dev/full"\n` });
    scratch.onEnd(() => other.stop());
    await other.stranger.all('ImageService/CreateImage', { path: other.image('a.raw'), format: 'raw', size: '1K' });
    await other.logged(/the audit log cannot be written/);
  });

  it('has neither content nor secrets', async () => {
    await daemon
      .get()
      .stranger.send('FileService/WriteFile', [
        { header: { path: daemon.get().image('w.txt') } },
        { data: Buffer.from('the content of a file') },
      ]);
    await create('luks.raw', {
      format: 'qcow2',
      size: '1M',
      encryption: { format: 'luks', passphrase: Buffer.from('open sesame') },
    });
    const text = await readFile(audit(), 'utf8');
    for (const secret of ['the content of a file', 'open sesame'])
      for (const form of [secret, Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex')])
        assert.ok(!text.includes(form), form);
  });
});
