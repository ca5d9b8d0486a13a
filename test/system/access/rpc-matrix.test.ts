/**
 * Every RPC x every role x inside and outside of the roots, made from the descriptors: an RPC that
 * is new is here without anybody thinking of it, and fails until somebody has said who may call it.
 */
import assert from 'node:assert/strict';
import { mkdir, open, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RPC_TABLE, type RpcRow } from '../../../src/handlers/rpc-table.js';
import { onBehalfOf } from '../../../src/protocol/on-behalf-of.js';
import { suiteDaemon } from '../../support/daemon.js';
import { plausible, requestOf, requestWith, stringFields } from '../../support/descriptors.js';
import { Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { noteOpen } from '../../support/secrets.js';
import { CallError, RPCS, Stranger, failure, type Message } from '../../support/stranger.js';

/** Whom the issue wants to let in; said here a second time, so that neither list changes alone. */
const VIEWER = new Set(
  `GetImageInfo BatchGetImageInfo ListImages WatchImages DetectDiskType FindRootDisk MapImage MeasureImage ListSnapshots ListCachedImages GetHostInfo GetFilesystemInfo GetPoolInfo
  WatchFilesystem GetArchitecture GetIscsiInitiator IsMounted ValidateHostname PickDiskDriverName GetInstancePath GetInstancePathAtDestination
  StatFile ListDirectory GetOperation GetOperationLog ListOperations WatchOperation WatchOperations`.split(/\s+/),
);
// A pull maps what it pulls and compares digests.
const AGENT = new Set(
  `OpenExport CloseExport CopyImage MapImage DigestImage GetOperation WatchOperation CancelOperation`.split(' '),
);
const ALLOWED: Record<string, (method: string) => boolean> = {
  admin: () => true,
  operator: (method) => method !== 'Execute',
  viewer: (method) => VIEWER.has(method),
  agent: (method) => AGENT.has(method),
  // Of the configuration: everything, but in one folder only.
  confined: () => true,
};
/**
 * Fields of addresses that are judged one by one, each with its own answer: `batch.test.ts` looks at
 * those.
 */
const JUDGED_APART = new Set(['ImageService/BatchGetImageInfo paths']);
/** Look at names, and at nothing that lies there. */
const HARMLESS_OUTSIDE = new Set(['IsMounted']);

const CODES = { INVALID_ARGUMENT: 3, PERMISSION_DENIED: 7, UNIMPLEMENTED: 12, INTERNAL: 13, UNAUTHENTICATED: 16 };
const UNKNOWN = 2;
const SECRET = 'what no caller may ever see';

interface AuditLine {
  readonly event: string;
  readonly rpc: string;
  readonly caller: string;
  readonly result: string;
  readonly paths: string[];
  readonly on_behalf_of?: string;
}

describe('every RPC', () => {
  const scratch = scratchFolder();
  const strangers = new Map<string, Stranger>();
  const outside = () => scratch.path('outside');
  const inside = (name: string) => join(daemon.get().image('in'), name);
  let pki: Pki;
  before(async () => {
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'] });
    await pki.issue('agent', 'agent-b', { dns: ['agent-b'] });
    await mkdir(scratch.path('outside'));
    await writeFile(join(outside(), 'secret'), SECRET);
  });
  const roles = ['admin', 'operator', 'viewer', 'confined'];
  const socket = (role: string) => scratch.path('daemon', `${role}.sock`);
  const daemon = suiteDaemon(scratch, () => ({
    listen: ['tcp://127.0.0.1:0'],
    toml: [
      ...roles.map((role) => `[[listeners]]\naddress = "unix://${socket(role)}"\nrole = "${role}"`),
      `[roles.confined]\nservices = ["ImageService", "HostInfoService", "FileService", "OperationService", "CommandService"]`,
      `commands = ["none"]\nread = ["${scratch.path('daemon/images/in')}"]\nwrite = ["${scratch.path('daemon/images/in')}"]`,
      `[[callers]]\nname = "dns:agent-b"\nrole = "agent"\nread = ["${scratch.path('daemon/images/in')}"]`,
      `write = ["${scratch.path('daemon/images/in')}"]`,
      pki.toml(),
      // Each is looked for.
      '[limits]\ndenials_per_second = 100000',
      `[audit]\nfile = "${scratch.path('audit.log')}"\nmode = "require"\n`,
    ].join('\n'),
  }));
  before(async () => {
    await mkdir(daemon.get().image('in'));
    await mkdir(daemon.get().image('beside'));
    await writeFile(daemon.get().image('beside/secret'), SECRET);
    await symlink(daemon.get().image('beside/secret'), inside('link'));
    await symlink(join(outside(), 'secret'), inside('far-link'));
    for (const role of roles) strangers.set(role, new Stranger(`unix://${socket(role)}`));
    strangers.set('agent', new Stranger(`localhost:${daemon.get().tcp.split(':')[1] ?? ''}`, pki.proof('agent-b')));
  });
  scratch.onEnd(() => {
    for (const stranger of strangers.values()) stranger.close();
    return Promise.resolve();
  });

  const as = (role: string) => strangers.get(role) ?? assert.fail(role);
  const call = async (
    role: string,
    { rpc, requestStream, responseStream }: (typeof RPCS)[number],
    request: Message,
  ) => {
    // Watches never end by themselves.
    const options = { deadline: new Date(Date.now() + (/Watch/.test(rpc) ? 300 : 15_000)) };
    try {
      if (requestStream) return { answers: [await as(role).send(rpc, [request])], error: undefined };
      if (responseStream) return { answers: await as(role).all(rpc, request, options), error: undefined };
      return { answers: [await as(role).unary(rpc, request, options)], error: undefined };
    } catch (error) {
      if (error instanceof CallError) return { answers: [], error };
      throw error;
    }
  };
  const fieldsOf = (rpc: string) => Object.keys(rowOf(rpc).addresses).map((field) => pathTo(rpc, field));
  /** A request whose addresses all lie in one folder. */
  const requestIn = (role: string, rpc: string, folder: string) => {
    const given = fieldsOf(rpc).reduce(
      (request, path) => requestWith(rpc, request, path, join(folder, `absent-${path.join('-')}`)),
      plausible(rpc),
    );
    if (role !== 'agent' || rpc !== 'ImageService/CopyImage') return given;
    return { ...given, remote: { host: 'agent-b', agent: true }, remote_side: 'REMOTE_SIDE_SOURCE' };
  };

  let read = 0;
  /** Lines of the audit log since the last time. */
  const audited = async (): Promise<AuditLine[]> => {
    const file = await open(scratch.path('audit.log'));
    try {
      const { size } = await file.stat();
      const { buffer } = await file.read(Buffer.alloc(size - read), 0, size - read, read);
      read = size;
      return buffer
        .toString()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as AuditLine);
    } finally {
      await file.close();
    }
  };

  it('has a row that names only fields that it has', () => {
    const rows = Object.values(RPC_TABLE).reduce((sum, service) => sum + Object.keys(service).length, 0);
    assert.equal(RPCS.length, rows);
    for (const { rpc } of RPCS) {
      const names = stringFields(requestOf(rpc)).map((path) => path.join('.'));
      for (const path of fieldsOf(rpc)) assert.ok(names.includes(path.join('.')), `${rpc}: ${path.join('.')}`);
    }
  });

  it('has a row that names every field that could hold an address', () => {
    const never =
      /(?:^|\.)(?:request_id|page_token|cursor|generation|filter\.formats|filter\.reasons|\w*format|algorithm|compat|archive_member|digest|size|owner|group|user|host|headers|url|checksum_url|endpoint|image_id|token|snapshot|peer|upload_id|export_id|cache_ids?|operation_id|methods|caller|domain_xml|domain_name|pool|image_architecture|hostname|virt_type|uuid|name|args|source\.source|instance_relative_path)$/;
    for (const { rpc } of RPCS) {
      const listed = fieldsOf(rpc).map((path) => path.join('.'));
      for (const path of stringFields(requestOf(rpc)).map((each) => each.join('.')))
        assert.ok(
          listed.includes(path) ||
            never.test(path) ||
            JUDGED_APART.has(`${rpc} ${path}`) ||
            (rpc.endsWith('/IsMounted') && path === 'source'),
          `${rpc}: ${path}`,
        );
    }
  });

  for (const role of [...roles, 'agent'])
    for (const rpc of RPCS) {
      const method = rpc.rpc.split('/')[1] ?? '';
      const allowed = ALLOWED[role]?.(method) ?? false;
      it(`${role}: ${rpc.rpc} is ${allowed ? 'allowed' : 'refused'}, inside its places only, and written down`, async () => {
        await audited();
        const near = await call(role, rpc, requestIn(role, rpc.rpc, daemon.get().image('in')));
        assertWritten(await audited(), role, rpc.rpc, near.error?.reason);
        const far = await call(role, rpc, requestIn(role, rpc.rpc, outside()));
        assertWritten(await audited(), role, rpc.rpc, far.error?.reason);
        const codes = [near.error?.code ?? 0, far.error?.code ?? 0];
        assert.ok(!codes.includes(CODES.INTERNAL) && !codes.includes(UNKNOWN), String(codes));
        if (!allowed) {
          assert.deepEqual([near.error?.reason, far.error?.reason], ['METHOD_NOT_ALLOWED', 'METHOD_NOT_ALLOWED']);
          return;
        }
        assert.ok(![CODES.PERMISSION_DENIED, CODES.UNAUTHENTICATED].includes(codes[0] ?? 0), near.error?.message);
        const mine = fieldsOf(rpc.rpc).length > 0;
        if (mine && (role === 'confined' || role === 'agent')) assert.equal(far.error?.reason, 'PATH_OUTSIDE_ROOTS');
        else if (
          mine &&
          !HARMLESS_OUTSIDE.has(method) &&
          codes[0] !== CODES.INVALID_ARGUMENT &&
          codes[0] !== CODES.UNIMPLEMENTED
        )
          assert.equal(far.error?.reason, 'PATH_OUTSIDE_ROOTS');
      });
    }

  it('of an agent has the agent itself at its far end, and tells the audit log for whom', async () => {
    await audited();
    const copy = { ...requestIn('agent', 'ImageService/CopyImage', daemon.get().image('in')), plan_only: true };
    for (const remote of [undefined, { host: 'agent-c', agent: true }, { host: '', agent: true }]) {
      const refused = as('agent').all('ImageService/CopyImage', { ...copy, remote });
      assert.equal((await failure(refused)).reason, 'METHOD_NOT_ALLOWED');
    }
    const other = { ...plausible('ImageService/OpenExport'), path: inside('absent'), peer: 'dns:agent-c' };
    assert.equal((await failure(as('agent').unary('ImageService/OpenExport', other))).reason, 'METHOD_NOT_ALLOWED');
    await as('agent')
      .all('ImageService/CopyImage', copy, {}, onBehalfOf('uri:spiffe://cloud/scheduler'))
      .catch(() => undefined); // what it comes to is the copy's own test
    const lines = (await audited()).filter(({ event }) => event === 'call');
    assert.equal(lines.at(-1)?.on_behalf_of, 'uri:spiffe://cloud/scheduler');
  });

  const tricks = () => [
    `${daemon.get().image('in')}/../../../outside/secret`,
    inside('link'),
    inside('far-link'),
    `/proc/self/fd/0`,
    `/proc/self/root${join(outside(), 'secret')}`,
    `json:{"driver":"raw","file":{"driver":"file","filename":"${join(outside(), 'secret')}"}}`,
    `nbd://127.0.0.1:1/x`,
    `-oProxyCommand=touch ${join(outside(), 'made')}`,
    `$(touch ${join(outside(), 'made')})`,
    `file:${join(outside(), 'secret')}`,
    `${inside('x')}\0${join(outside(), 'secret')}`,
  ];
  for (const rpc of RPCS)
    it(`${rpc.rpc}: tricks in every string field lead nowhere`, async () => {
      for (const path of stringFields(requestOf(rpc.rpc)))
        for (const trick of tricks())
          for (const role of ['confined', 'admin']) {
            noteOpen(trick);
            // What admin may reach through a link in the roots is no trick.
            if (role === 'admin' && trick === inside('link')) continue;
            const request = requestWith(rpc.rpc, requestIn(role, rpc.rpc, daemon.get().image('in')), path, trick);
            const { answers, error } = await call(role, rpc, request);
            const told = JSON.stringify([answers, error?.message, error?.metadata]);
            const title = `${role} ${path.join('.')}=${trick}: ${told}`;
            assert.ok(error === undefined || ![CODES.INTERNAL, UNKNOWN].includes(error.code), title);
            assert.ok(!told.includes(SECRET) && !told.includes(Buffer.from(SECRET).toString('base64')), title);
          }
      assert.deepEqual(await readdir(outside()), ['secret']);
      for (const file of [join(outside(), 'secret'), daemon.get().image('beside/secret')])
        assert.equal((await stat(file)).size, SECRET.length);
    }).timeout(120_000);
});

function rowOf(rpc: string): RpcRow {
  const [service = '', name = ''] = rpc.split('/');
  const rows: Readonly<Record<string, RpcRow>> = RPC_TABLE[service as keyof typeof RPC_TABLE];
  return rows[`${name.charAt(0).toLowerCase()}${name.slice(1)}`] ?? assert.fail(rpc);
}

/**
 * Where a field of a row is in proto's names; `source.file.path` is the path of the file of the
 * message `source`.
 */
function pathTo(rpc: string, field: string): string[] {
  const path = field.split('.').map((part) => part.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const names = stringFields(requestOf(rpc)).map((each) => each.join('.'));
  return names.includes(path.join('.')) ? path : assert.fail(`${rpc} has no ${path.join('.')}`);
}

/** One line of what has ended, of a call that changes something or was denied; none of others. */
function assertWritten(lines: readonly AuditLine[], role: string, rpc: string, reason = 'OK'): void {
  const ended = lines.filter(({ event }) => event === 'call');
  const denied = ['METHOD_NOT_ALLOWED', 'PATH_OUTSIDE_ROOTS', 'ROOT_READ_ONLY', 'ACCESS_DENIED'].includes(reason);
  if (rowOf(rpc).access === 'read' && !denied) {
    assert.deepEqual(ended, []);
    return;
  }
  assert.equal(ended.length, 1, JSON.stringify(lines));
  const [line] = ended;
  assert.equal(line?.rpc, `hostler.v1.${rpc}`);
  assert.equal(line.result, reason);
  assert.ok(line.caller === 'dns:agent-b' || line.caller.endsWith(`${role}.sock`), line.caller);
}
