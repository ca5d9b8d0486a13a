/**
 * What each file and folder of the daemon's own is to whoever runs the daemon when the system
 * refuses it: one table.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AuditLog } from '../../src/adapters/telemetry/audit-log.js';
import { CacheFolder } from '../../src/adapters/files/cache-folder.js';
import { JournalStore, JournalUnavailable } from '../../src/adapters/journal/store.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import { openRoots } from '../../src/adapters/paths/roots.js';
import { claimCache } from '../../src/adapters/owned/cache-claim.js';
import { RememberedMounts } from '../../src/adapters/owned/remembered.js';
import { openStateFolder } from '../../src/adapters/owned/state-folder.js';
import { OwnFileError, ownFile } from '../../src/domain/model/own-files.js';
import { ListenError, prepareSocket, protectSocket } from '../../src/server/unix-socket.js';
import { TlsFilesBroken, readTlsFiles } from '../../src/protocol/certificate-files.js';
import { FaultFilesystem, type CallKind, type Fault } from '../support/faults/fault-filesystem.js';
import { Pki } from '../support/hosts/pki.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { loadConfig } from '../../src/wiring/load-config.js';
import { readLeft } from '../../src/wiring/sweep.js';

const EDQUOT = 122;
/** Each errno with a word of the advice that belongs to it. */
const LOOKS: readonly (readonly [NonNullable<Fault['errno']>, string])[] = [
  ['EACCES', 'user in'],
  ['EPERM', 'user change'],
  ['EIO', 'log of the kernel'],
  ['EMFILE', 'LimitNOFILE'],
  ['ENFILE', 'file-max'],
  ['ENOTDIR', 'no folder'],
  ['ELOOP', 'link'],
  ['ENOTCONN', 'mount it again'],
  ['ESTALE', 'mount its filesystem again'],
];
const CHANGES: typeof LOOKS = [
  ...LOOKS,
  ['EROFS', 'mount it for writing'],
  ['ENOSPC', 'make room'],
  [EDQUOT, 'raise the quota'],
];

/** Each opening of a journal starts a thread. */
const FEW = CHANGES.filter(([errno]) => ['EACCES', 'EIO', 'EROFS', 'ENOSPC'].includes(String(errno)));

interface Own {
  /** In the disk's folder. */
  readonly file: string;
  readonly kinds: readonly CallKind[];
  readonly errors: typeof LOOKS;
  readonly open: (path: string) => Promise<unknown>;
  /** What has to be there before. */
  readonly prepare?: (path: string) => Promise<unknown>;
}

describe("the daemon's own files and folders", () => {
  const scratch = scratchFolder();
  let disk: FaultFilesystem;
  let pki: Pki;
  const runner = new ProcessRunner({
    killGraceMs: 200,
    searchPath: process.env['PATH'] ?? '',
    folders: new MemoryFolders('hostler-test'),
    log: { child: () => undefined, abandoned: () => undefined },
  });

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    pki = await Pki.init(scratch.path('pki'));
    await pki.issue('agent', 'host.example', { dns: ['host.example'] });
  });
  afterEach(() => disk.heal());

  const state = (file: string) => async () => {
    const opened = await openStateFolder(dirname(join(disk.path, file)), runner, { machine: 'm' });
    await opened.release();
  };
  const tls = (name: string) => async (path: string) => {
    const own = pki.path(`host.example.${name === 'key' ? 'key' : 'pem'}`);
    const from = name === 'ca' ? pki.path('ca.pem') : own;
    await writeFile(join(disk.behind, path), await readFile(from), { mode: 0o600 });
  };
  const readTls = (name: 'ca' | 'cert' | 'key') => (path: string) =>
    readTlsFiles({
      ca: pki.path('ca.pem'),
      cert: pki.path('host.example.pem'),
      key: pki.path('host.example.key'),
      [name]: path,
    });
  const folder = (file: string) => mkdir(join(disk.behind, file), { recursive: true });
  const owner = { agent: 'abcdefabcdef', machine: 'm', host: 'h', state: '/state' };

  const OWN: Readonly<Record<string, Own>> = {
    'the state folder': { file: 's1/lock', kinds: ['mkdir'], errors: CHANGES, open: state('s1/lock') },
    'the lock': { file: 's2/lock', kinds: ['create'], errors: CHANGES, open: state('s2/lock') },
    'the agent id, new': { file: 's3/agent-id', kinds: ['create', 'write'], errors: CHANGES, open: state('s3/lock') },
    'the agent id, its name': { file: 's4/agent-id', kinds: ['rename'], errors: CHANGES, open: state('s4/lock') },
    'the agent id, read': {
      ...{ file: 's5/agent-id', kinds: ['open'], errors: LOOKS, open: state('s5/lock') },
      prepare: state('s5/lock'),
    },
    'its place': { file: 's6/place', kinds: ['create', 'fsync'], errors: CHANGES, open: state('s6/lock') },
    'the name of its files': { file: 's8/agent-id', kinds: ['fsyncdir'], errors: CHANGES, open: state('s8/lock') },
    'the journal': {
      ...{ file: 's7/journal', kinds: ['open', 'create'], errors: FEW },
      prepare: () => folder('s7'),
      open: async () => {
        const options = { folder: join(disk.path, 's7'), limits: { operations: 9, ms: 1e9 }, clock: Date.now };
        const quiet = () => undefined;
        const log = { moved: quiet, setAside: quiet, imported: quiet, state: quiet, tidyFailed: quiet };
        await (await JournalStore.open({ ...options, log })).close();
      },
    },
    'the configuration': {
      ...{ file: 'c.toml', kinds: ['open', 'read'], errors: LOOKS, open: loadConfig },
      prepare: (path) => writeFile(join(disk.behind, path), '[[roots]]\npath = "/"\n'),
    },
    'the audit log': {
      ...{ file: 'audit', kinds: ['create'], errors: CHANGES },
      open: async (path) => {
        const audit = new AuditLog({ file: path, required: true, patienceMs: 5000, onFailed: () => undefined });
        await ownFile('the audit log (audit.file)', path, () => audit.open());
        await audit.close();
      },
    },
    'the authorities': { file: 'ca', kinds: ['open'], errors: LOOKS, open: readTls('ca'), prepare: tls('ca') },
    'the certificate': { file: 'cert', kinds: ['read'], errors: LOOKS, open: readTls('cert'), prepare: tls('cert') },
    'the key': { file: 'key', kinds: ['read'], errors: LOOKS, open: readTls('key'), prepare: tls('key') },
    "the socket's folder": { file: 'run/s.sock', kinds: ['mkdir'], errors: CHANGES, open: prepareSocket },
    "the socket's mode": {
      ...{ file: 's.sock', kinds: ['chmod'], errors: CHANGES },
      prepare: (path) => writeFile(join(disk.behind, path), ''),
      open: (path) => protectSocket(path, { mode: 0o660 }),
    },
    'a root': {
      ...{ file: 'root', kinds: ['getattr'], errors: LOOKS, prepare: folder },
      open: (path) => openRoots([{ path, access: 'read-write', trusted: true, attributes: {} }], 5000),
    },
    'the cache folder': {
      ...{ file: 'cache', kinds: ['readdir', 'create', 'write', 'fsync'], errors: CHANGES, prepare: folder },
      open: async (path) => {
        const cache = await CacheFolder.open(path, {}, 5000);
        try {
          await cache.claim({ owner, formerAgents: [], runner, isEntry: () => false });
        } finally {
          await cache.release();
        }
      },
    },
  };

  for (const [what, { file, kinds, errors, open, prepare }] of Object.entries(OWN))
    it(`${what}: one line for each errno, which names it and what to do; then all is as before`, async () => {
      const path = join(disk.path, file);
      for (const kind of kinds)
        for (const [errno, advice] of errors) {
          await rm(join(disk.behind, file.split('/')[0] ?? ''), { recursive: true, force: true });
          await prepare?.(file);
          // A folder is made before what lies in it.
          await disk.fail({
            kinds: [kind],
            errno,
            times: 0,
            match: ['mkdir', 'fsyncdir'].includes(kind) ? dirname(`/${file}`) : `/${file}`,
          });
          const error = await open(path).then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          const { failed } = await disk.seen();
          const where = `${kind} ${String(errno)}: ${String(error)}`;
          assert.notDeepEqual(failed, [], `${where}: no call failed`);
          assert.ok(
            [OwnFileError, TlsFilesBroken, ListenError, JournalUnavailable].some((known) => error instanceof known),
            where,
          );
          const { message } = error as Error;
          assert.ok(message.includes(dirname(path)) && message.includes(advice), where);
          assert.equal(message.includes('\n') || message.includes('Unknown system error'), false, where);
          await disk.heal();
          await open(path);
        }
    });

  it('what is no folder, no file, a link: the same line', async () => {
    const at = (name: string) => scratch.path('plain', name);
    await mkdir(at('folder'), { recursive: true });
    await writeFile(at('file'), '');
    await symlink('loop', at('loop'));
    const cases: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => openStateFolder(at('file/state'), runner, { machine: '' }), /plain\/file.* not a folder \(ENOTDIR\)/],
      [() => openStateFolder(at('file'), runner, { machine: '' }), /plain\/file.* \(EEXIST\); remove what is there/],
      [() => openStateFolder(at('loop'), runner, { machine: '' }), /plain\/loop.* \((?:ELOOP|EEXIST|ENOENT)\)/],
      [() => loadConfig(at('folder')), /plain\/folder: it is a folder \(EISDIR\)/],
      [() => loadConfig(at('none')), /plain\/none: no such file or folder \(ENOENT\)/],
      [() => readTls('cert')(at('folder')), /plain\/folder cannot be read: it is a folder \(EISDIR\)/],
      [() => prepareSocket(at('file/s')), /plain\/file.*\((?:ENOTDIR|EEXIST)\)/],
      [() => prepareSocket(at('folder')), /plain\/folder exists and is no socket: remove it/],
      [() => prepareSocket(at('loop/s')), /plain\/loop.*\((?:ELOOP|EEXIST|ENOENT)\)/],
      [
        () => openRoots([{ path: at('file'), access: 'read-only', trusted: true, attributes: {} }], 100),
        /not a folder/,
      ],
    ];
    for (const [opening, says] of cases) await assert.rejects(opening(), says);
  });

  for (const file of ['agent-id', 'place', 'root-mounts', 'left-folders', '.owner'])
    it(`${file} is a pipe, a device, too long: one line at once that says what to do`, async () => {
      const odd: readonly (readonly [string, (path: string) => Promise<unknown>])[] = [
        ['pipe', (path) => sh('mkfifo', path)],
        ['device', (path) => symlink('/dev/zero', path)],
        ['long', (path) => sh('truncate', '-s', '4T', path)],
      ];
      for (const [kind, make] of odd) {
        const place = scratch.path('odd', `${file}-${kind}`);
        await mkdir(place, { recursive: true });
        if (file !== 'agent-id') await writeFile(join(place, 'agent-id'), owner.agent);
        await make(join(place, file));
        // A link to a device is no file that could own a cache.
        const says = file === '.owner' && kind === 'device' ? 'ELOOP' : join(place, file);
        await assert.rejects(readOwn(file, place), (error: Error) => {
          assert.ok(error instanceof OwnFileError, String(error));
          assert.ok(error.message.includes(says) && error.message.includes('remove'), error.message);
          return true;
        });
      }
    });

  async function readOwn(file: string, folder: string): Promise<unknown> {
    if (file === 'root-mounts') return RememberedMounts.load(folder);
    if (file === 'left-folders') return readLeft(folder);
    if (file === '.owner') return claimCache(folder, { owner, formerAgents: [], runner, isEntry: () => false });
    return openStateFolder(folder, runner, { machine: 'm' });
  }
});
