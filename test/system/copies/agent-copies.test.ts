/** Copies between two real agents, each in a network namespace of its own. */
import assert from 'node:assert/strict';
import { access, appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { begun } from '../../support/begun.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { allocatedBytes, noise, onSmallDisk, sameBytes, sparseFile } from '../../support/images/disks.js';
import { needsNetworks } from '../../support/needs.js';
import { HERE, agentToml } from '../../support/hosts/network.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { A, B, TwoAgents } from '../../support/hosts/two-agents.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
/** Small, so that a test has many. */
const PULLS = '[pulls]\nsegment_mib = 4\nstreams = 2\npatience_seconds = 40\nstall_seconds = 5\n';

describe('copies between agents', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: TwoAgents;
  const a = () => agents.a;
  const b = () => agents.b;
  const pull = (source: string, target: string, more?: Message) => agents.pull(source, target, more);
  const push = (source: string, target: string, more?: Message) => agents.push(source, target, more);
  const sparseness = async (source: string, target: string) => {
    const [before, after] = [await allocatedBytes(source), await allocatedBytes(target)];
    assert.ok(Math.abs(after - before) <= before * 0.02 + 65536, `${String(before)} ${String(after)}`);
  };

  before(async function () {
    needsNetworks(this);
    agents = await TwoAgents.start(scratch, PULLS);
  });

  checkEach(async () => {
    assert.deepEqual(await a().leftovers(), []);
    assert.deepEqual(await b().leftovers(), []);
    await agents.idle();
  });

  for (const length of [0, 1, 511, 513, MIB + 777]) {
    it(`parity row 3: ${String(length)} bytes are pulled and pushed exactly`, async () => {
      const name = `length-${String(length)}`;
      await writeFile(a().image(name), noise(length));
      const copy = await pull(name, name, { verify: true });
      assert.equal(copy['engine'], 'NBD_TLS');
      assert.match(String(copy['why']), /has an agent/);
      assert.equal(copy['verified'], true);
      assert.equal(copy['length_bytes'] ?? '0', String(length));
      assert.ok(await sameBytes(a().image(name), b().image(name)));
      assert.equal((await push(name, `${name}-pushed`, { verify: true }))['engine'], 'NBD_TLS');
      assert.ok(await sameBytes(a().image(name), b().image(`${name}-pushed`)));
    });
  }

  it('parity row 3: holes stay holes, and only data is moved', async () => {
    await sparseFile(
      a().image('sparse'),
      512 * MIB,
      Array.from({ length: 24 }, (_, index) => ({ at: index * 20 * MIB + 4096, length: MIB })),
    );
    const copy = await pull('sparse', 'sparse', { verify: true });
    assert.ok(Number(copy['moved_bytes']) <= 26 * MIB, String(copy['moved_bytes']));
    assert.ok(await sameBytes(a().image('sparse'), b().image('sparse')));
    await sparseness(a().image('sparse'), b().image('sparse'));
  });

  it('parity row 3: 8 TiB of hole come at once', async () => {
    await writeFile(a().image('huge'), '');
    await truncate(a().image('huge'), 8 * 1024 ** 4);
    const copy = await pull('huge', 'huge', { verify: true });
    assert.equal(Number(copy['moved_bytes'] ?? 0), 0);
    assert.equal(copy['length_bytes'], String(8 * 1024 ** 4));
    assert.equal(
      (await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', a().image('huge'), b().image('huge'))).trim(),
      'Images are identical.',
    );
    assert.ok((await allocatedBytes(b().image('huge'))) < MIB);
  });

  it('parity row 3: a qcow2 container is bytes like any other', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', a().image('box.qcow2'), '8G');
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 1M 3M', a().image('box.qcow2'));
    await pull('box.qcow2', 'box.qcow2');
    assert.ok(await sameBytes(a().image('box.qcow2'), b().image('box.qcow2')));
  });

  for (const [kind, name] of Object.entries({
    comma: 'a,b,,c=d',
    quotes: `it's "quoted"`,
    newline: 'two\nlines',
    dash: '-rf',
    long: 'n'.repeat(255),
  })) {
    it(`a name with ${kind} works on both ends`, async () => {
      await writeFile(a().image(name), noise(1000));
      await pull(name, name);
      await push(name, `${kind}-pushed`);
      assert.ok(await sameBytes(a().image(name), b().image(name)));
    });
  }

  it('plans: method, why, how much', async () => {
    await sparseFile(a().image('planned'), 64 * MIB, [{ at: MIB, length: MIB }]);
    const { plan } = (await b().stranger.operation(
      'ImageService/CopyImage',
      agents.pullRequest('planned', 'planned', { plan_only: true }),
    )) as { plan: Message };
    assert.equal(plan['method'], 'NBD_TLS');
    assert.ok(Number(plan['move_bytes']) >= MIB && Number(plan['move_bytes']) < 2 * MIB);
    assert.match(String(plan['why']), /hv1.example has an agent: the data, 1 % of the file/);
    await assert.rejects(access(b().image('planned')));
    const { plan: pushed } = (await a().stranger.operation('ImageService/CopyImage', {
      ...{ source: a().image('planned'), target: b().image('planned'), plan_only: true },
      remote: { host: B.host },
    })) as { plan: Message };
    assert.equal(pushed['method'], 'NBD_TLS');
    assert.equal(pushed['move_bytes'], plan['move_bytes']);
    // The far agent's, which lies on the same disk here.
    assert.ok(Number(pushed['free_bytes']) > MIB);
    assert.match(String(pushed['why']), /hv2.example has an agent/);
    await assert.rejects(access(b().image('planned')));
  });

  it('errors of the far end arrive as such', async () => {
    await writeFile(b().image('there'), 'old');
    const reason = async (call: Promise<unknown>) => (await failure(call)).reason;
    assert.equal(await reason(pull('nothing', 'x')), 'IMAGE_NOT_FOUND');
    await writeFile(a().image('x'), 'x');
    assert.equal(await reason(push('x', 'there')), 'TARGET_EXISTS');
    assert.equal(await reason(push('x', 'no/folder')), 'PARENT_NOT_FOUND');
    assert.equal(await readFile(b().image('there'), 'utf8'), 'old');
    await push('x', 'there', { overwrite: true });
    assert.equal(await readFile(b().image('there'), 'utf8'), 'x');
    const unknown = { remote: { host: 'hv9.example', agent: true } };
    assert.equal(await reason(push('x', 'y', unknown)), 'REMOTE_NOT_TRUSTED');
  });

  it('an export is for its peer alone: name and key are needed, and another caller cannot close it', async () => {
    await writeFile(a().image('secret'), noise(MIB));
    const opened = await a().stranger.unary('ImageService/OpenExport', { path: a().image('secret'), peer: 'me' });
    const port = String(opened['address']).split(':').at(-1) ?? '';
    try {
      const plain = await tryRun('ip', [
        ...agents.hosts.on(agents.hosts.there).slice(1),
        'qemu-img',
        'info',
        `nbd://${HERE.v4}:${port}/${String(opened['export_id'])}`,
      ]);
      assert.notEqual(plain.code, 0, 'without TLS');
      const info = async (name: string, key: string) => {
        const folder = scratch.path('psk');
        await sh('mkdir', '-p', folder);
        await writeFile(`${folder}/keys.psk`, `hostler:${key}\n`);
        return tryRun('ip', [
          ...agents.hosts.on(agents.hosts.there).slice(1),
          ...['qemu-img', 'info', '--object', `tls-creds-psk,id=t,endpoint=client,username=hostler,dir=${folder}`],
          ...[
            '--image-opts',
            `driver=nbd,server.type=inet,server.host=${HERE.v4},server.port=${port},export=${name},tls-creds=t`,
          ],
        ]);
      };
      const key = (opened['key'] as Buffer).toString('hex');
      assert.notEqual((await info(String(opened['export_id']), '00'.repeat(32))).code, 0, 'a wrong key');
      assert.notEqual((await info('guessed', key)).code, 0, 'a guessed name');
      assert.equal((await info(String(opened['export_id']), key)).code, 0);
      const { operations = [] } = (await a().stranger.unary('OperationService/ListOperations', {
        filter: { states: ['OPERATION_STATE_RUNNING'] },
      })) as { operations?: Message[] };
      assert.ok(operations.some(({ operation_id: id }) => id === opened['operation_id']));
      assert.ok(!a().log.includes(key), 'the key is in the log');
    } finally {
      await a().stranger.unary('ImageService/CloseExport', { export_id: opened['export_id'] });
    }
    assert.equal(
      (await failure(a().stranger.unary('ImageService/CloseExport', { export_id: opened['export_id'] }))).reason,
      'EXPORT_NOT_FOUND',
    );
  });

  it('a source that is only touched meanwhile is copied: the digests are the same', async () => {
    await writeFile(a().image('touched'), noise(8 * MIB));
    const slowly = agents.pullRequest('touched', 'touched', { bandwidth_bytes_per_second: String(2 * MIB) });
    const { id } = await begun(b().stranger, 'ImageService/CopyImage', { ...slowly, detach: true });
    await sh('touch', a().image('touched'));
    const last = (await b().stranger.all('OperationService/WatchOperation', { operation_id: id })).at(-1);
    assert.equal(((last?.['result'] as Message)['copy'] as Message)['verified'], true);
    assert.ok(await sameBytes(a().image('touched'), b().image('touched')));
  });

  it('a source that changes, or is replaced, meanwhile is noticed', async () => {
    await writeFile(a().image('moving'), noise(8 * MIB));
    const request = agents.pullRequest('moving', 'moving', { bandwidth_bytes_per_second: String(2 * MIB) });
    const zeros = ['if=/dev/zero', `of=${a().image('moving')}`, 'bs=4096', 'count=1', 'conv=notrunc', 'status=none'];
    for (const change of [
      // Behind what has been read already, as long as before.
      () => sh('dd', ...zeros),
      () => appendFile(a().image('moving'), 'more'),
      () => rm(a().image('moving')),
    ]) {
      const { failed } = await begun(b().stranger, 'ImageService/CopyImage', request);
      await change();
      assert.equal((await failed).reason, 'SOURCE_CHANGED');
      await assert.rejects(access(b().image('moving')));
    }
  });

  it('a cancel ends both sides, pulled or pushed', async () => {
    await writeFile(a().image('slow'), noise(16 * MIB));
    const slowly = { bandwidth_bytes_per_second: String(2 * MIB) };
    for (const [daemon, request] of [
      [b(), agents.pullRequest('slow', 'slow', slowly)],
      [a(), agents.pushRequest('slow', 'slow', slowly)],
    ] as const) {
      const { id } = await begun(daemon.stranger, 'ImageService/CopyImage', request);
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id: id });
      await until(async () => (await b().leftovers()).length === 0);
      await assert.rejects(access(b().image('slow')));
    }
  });

  it('a certificate of another agent, or of nobody that is known, is no proof', async () => {
    await writeFile(a().image('proof'), 'x');
    const { toml, top } = agentToml(
      agents.pki,
      { ...B, host: 'hv3.example' },
      { ...A, host: 'hv9.example' },
      { peer: '' },
    );
    await agents.pki.issue('agent', 'hv3.example', { dns: ['hv3.example'] });
    const listener = toml.replace(`tcp://${B.address}:16520`, `tcp://${B.address}:16521`);
    const third = await Daemon.start(scratch.path('c'), {
      toml: `${top}${listener}${PULLS.replace('= 40', '= 0')}\n[[peers]]\nhost = "${A.host}"\naddress = "${A.address}:16520"\n`,
      within: agents.hosts.on(agents.hosts.there),
    });
    try {
      const reason = async (host: string) =>
        (
          await failure(
            third.stranger.operation('ImageService/CopyImage', {
              ...agents.pullRequest('proof', 'x'),
              target: third.image('x'),
              remote: { host, agent: true },
            }),
          )
        ).reason;
      // hv1 answers there, and says so.
      assert.equal(await reason('hv9.example'), 'REMOTE_NOT_TRUSTED');
      // It is who it should be, and does not know hv3.
      assert.equal(await reason(A.host), 'REMOTE_REFUSED');
    } finally {
      await third.stop();
    }
  });

  it('an export at another address is connected to only where the configuration of the peer says so', async () => {
    const source = scratch.path('exporting/images/elsewhere');
    const names = ['hv4.example', 'hv5.example'] as const;
    await agents.pki.issue('agent', 'exporting', { dns: [...names] });
    const exporting = agentToml(agents.pki, { ...A, host: 'exporting' }, B);
    const pulling = agentToml(agents.pki, B, { ...A, host: names[0] });
    const moved = (toml: string, port: number) => toml.replace(/(tcp:\/\/[0-9.]+):16520/, `$1:${String(port)}`);
    const peer = `[[peers]]\nhost = "${names[1]}"\naddress = "${A.address}:16523"\nexport_networks = ["fd99::/64"]\n`;
    const [served, pulls] = [
      await Daemon.start(scratch.path('exporting'), {
        toml: `${exporting.top}${moved(exporting.toml, 16523).replace(`address = "${A.address}"\n`, `address = "${HERE.v6}"\n`)}`,
        within: agents.hosts.on(agents.hosts.here),
      }),
      await Daemon.start(scratch.path('pulling'), {
        toml: `${pulling.top}${moved(pulling.toml, 16524).replace(`"${A.address}:16520"`, `"${A.address}:16523"`)}${PULLS.replace('= 40', '= 0')}${peer}`,
        within: agents.hosts.on(agents.hosts.there),
      }),
    ];
    try {
      await writeFile(served.image('elsewhere'), noise(MIB));
      const pullFrom = (host: string) =>
        pulls.stranger.operation('ImageService/CopyImage', {
          ...{ source, target: pulls.image(host), remote: { host, agent: true }, remote_side: 'REMOTE_SIDE_SOURCE' },
        });
      const { reason, message } = await failure(pullFrom(names[0]));
      assert.equal(reason, 'REMOTE_UNREACHABLE');
      assert.match(message, /an export without a usable address/);
      await pullFrom(names[1]);
      assert.ok(await sameBytes(served.image('elsewhere'), pulls.image(names[1])));
    } finally {
      await Promise.all([served.stop(), pulls.stop()]);
    }
  });

  it('a certificate that has expired meanwhile is no proof', async () => {
    await writeFile(a().image('proof'), 'x');
    const seconds = 10;
    const end = Date.now() + seconds * 1000;
    await agents.pki.issue('agent', 'short', { dns: [B.host], days: seconds / 86_400 });
    const { toml, top } = agentToml(agents.pki, B, A);
    const third = await Daemon.start(scratch.path('d'), {
      toml: `${top.replaceAll(`${B.host}.`, 'short.')}${toml.replace(`tcp://${B.address}:16520`, `tcp://${B.address}:16522`)}`,
      within: agents.hosts.on(agents.hosts.there),
    });
    try {
      const pulling = (target: string) =>
        third.stranger.operation('ImageService/CopyImage', {
          ...agents.pullRequest('proof', 'x'),
          target: third.image(target),
        });
      await pulling('in-time');
      await until(() => Date.now() > end + 1000, 15_000);
      assert.equal((await failure(pulling('too-late'))).reason, 'REMOTE_REFUSED');
    } finally {
      await third.stop();
    }
  });

  it('a target that is full is found before a byte is moved, or when it fills meanwhile', async () => {
    await writeFile(a().image('large'), noise(12 * MIB));
    await onSmallDisk(b().process.pid, b().image('small'), 8, async () => {
      assert.equal((await failure(pull('large', 'small/x'))).reason, 'NO_SPACE');
      assert.equal((await failure(push('large', 'small/x'))).reason, 'NO_SPACE');
    });
    await onSmallDisk(b().process.pid, b().image('small'), 16, async (fill) => {
      const slowly = agents.pullRequest('large', 'small/x', { bandwidth_bytes_per_second: String(3 * MIB) });
      const { failed } = await begun(b().stranger, 'ImageService/CopyImage', slowly);
      await fill();
      assert.equal((await failed).reason, 'NO_SPACE');
    });
  });

  it('two agents that pull from and push to each other with one slot each do not block', async () => {
    await Promise.all([a().stop(), b().stop()]);
    const one = '[limits]\nrunning_operations = 1\n';
    await agents.startA(one);
    await agents.startB(one);
    const names = [1, 2, 3].map((number) => `mutual-${String(number)}`);
    for (const name of names) {
      await writeFile(a().image(name), noise(3 * MIB));
      await writeFile(b().image(`${name}-b`), noise(3 * MIB, 2));
    }
    await Promise.all(
      names.flatMap((name) => [
        pull(name, name),
        push(name, `${name}-pushed`),
        a().stranger.operation('ImageService/CopyImage', {
          source: b().image(`${name}-b`),
          target: a().image(`${name}-b`),
          remote: { host: B.host, agent: true },
          remote_side: 'REMOTE_SIDE_SOURCE',
        }),
        b().stranger.operation('ImageService/CopyImage', {
          source: b().image(`${name}-b`),
          target: a().image(`${name}-b-pushed`),
          remote: { host: A.host, agent: true },
        }),
      ]),
    );
    for (const name of names) assert.ok(await sameBytes(b().image(`${name}-b`), a().image(`${name}-b-pushed`)));
  });
});
