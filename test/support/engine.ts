/** The engine with real adapters and a step hook of the test's own, without the wire. */
import { fail } from 'node:assert/strict';
import { PathScope } from '../../src/domain/access/path-scope.js';
import { BUILT_IN } from '../../src/domain/access/role.js';
import { monotonicFactory } from 'ulid';
import { CpReflink } from '../../src/adapters/files/cp-reflink.js';
import { parseConfig } from '../../src/adapters/config/config.js';
import { ThreadedHasher } from '../../src/adapters/files/block-hasher.js';
import { transferPorts } from '../../src/wiring/transfers.js';
import { Digests } from '../../src/domain/verbs/digest-image.js';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { FileTargets } from '../../src/adapters/files/file-targets.js';
import { FolderSync } from '../../src/adapters/files/folder-sync.js';
import { MemoryJournal } from './journals/memory-journal.js';
import { Owners } from '../../src/adapters/files/owners.js';
import { RootedPaths } from '../../src/adapters/paths/paths.js';
import { OtelTracer } from '../../src/adapters/telemetry/tracing/otel-tracer.js';
import { QemuImg } from '../../src/adapters/qemu/qemu-img.js';
import { QemuLocks } from '../../src/adapters/qemu/qemu-locks.js';
import { openRoots } from '../../src/adapters/paths/roots.js';
import type { Caller } from '../../src/domain/access/caller.js';
import { Admission } from '../../src/domain/operations/admission.js';
import { Operations } from '../../src/domain/operations/engine.js';
import { ResumableLeftovers } from '../../src/domain/operations/recovery/resumable-leftovers.js';
import { LockTable } from '../../src/domain/operations/resources/locks.js';
import { ResumeEntries } from '../../src/domain/operations/recovery/resume-entries.js';
import { Slots } from '../../src/domain/operations/resources/slots.js';
import { SpaceLedger } from '../../src/domain/operations/resources/space.js';
import { RawDisks } from '../../src/domain/operations/raw-disks.js';
import { TouchedImages } from '../../src/domain/operations/recovery/touched.js';
import { TableWalk } from '../../src/adapters/qemu/table-walk.js';
import { ImageReader } from '../../src/domain/images/read-image.js';
import type { Step } from '../../src/domain/operations/engine-ports.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';

/** For tests in which nothing is swept. */
export const NO_SWEEP_LOG = { others: () => undefined, failed: () => undefined };

/** Starts tools as the daemon does, without a sandbox and without a log. */
export function plainRunner(folders = new MemoryFolders('hostler-test')): ProcessRunner {
  return new ProcessRunner({
    killGraceMs: 200,
    searchPath: process.env['PATH'] ?? '',
    folders,
    log: { child: () => undefined, abandoned: () => undefined },
  });
}

export async function composeEngine(root: string, step: Step, resumeLimits = { ttlMs: 60_000, bytes: 1n << 40n }) {
  const folders = new MemoryFolders('hostler-test');
  const runner = plainRunner(folders);
  const roots = await openRoots([{ path: root, access: 'read-write', trusted: true, attributes: {} }], 5000);
  const [files, tool, imageLocks, locks] = [
    new LocalFiles(),
    new QemuImg(runner, {}, {}),
    new QemuLocks(),
    new LockTable(),
  ];
  const reach = new PathScope();
  const paths = new RootedPaths(roots, { closed: [], own: [] }, reach);
  const reader = new ImageReader({
    paths,
    files,
    wholeness: new TableWalk(),
    foreign: { allowed: true, maxBytes: 1n << 40n },
    onRaw: () => undefined,
  });
  const slots = new Slots({
    running: { io: 4, none: 4, export: 4, open: 1, upload: 1, plan: 2 },
    perFilesystem: 4,
    callersPart: 1,
    queued: 16,
    queuedPerCaller: 16,
  });
  const space = new SpaceLedger(0n, 5000);
  const failures: unknown[] = [];
  const journal = new MemoryJournal(1000);
  const resumes = await ResumeEntries.load(journal, resumeLimits, Date.now);
  const targets = new FileTargets({
    agentId: 'test',
    roots,
    runner,
    owners: new Owners(runner),
    imageLocks,
    folderSync: new FolderSync(),
    sweepLog: NO_SWEEP_LOG,
  });
  const operations = new Operations({
    journal,
    touched: await TouchedImages.load(journal),
    rawDisks: await RawDisks.load(journal, (error) => fail(String(error))),
    resumes,
    admission: new Admission({
      scope: reach,
      paths,
      reader,
      imageLocks,
      dependants: {
        of: () => Promise.resolve({ known: true, found: [] }),
        onName: () => Promise.resolve({ known: true, found: [] }),
      },
    }),
    locks,
    slots,
    targets,
    files,
    space,
    letGoMs: 5000,
    watchIntervalMs: 200,
    clock: Date.now,
    newId: monotonicFactory(),
    step,
    tracer: new OtelTracer(),
    log: { finished: () => undefined, cleanupFailed: (_, cause) => failures.push(cause) },
  });
  const ports = {
    paths,
    reader,
    files,
    tool,
    imageLocks,
    reflink: new CpReflink(runner),
    digests: new Digests({ tool, files, hasher: new ThreadedHasher(), clock: Date.now }),
    ...transferPorts(parseConfig(`[[roots]]\npath = "${root}"`, 'test'), { runner, folders }, 'test', {}, reach),
  };
  return {
    operations,
    ports,
    journal,
    targets,
    locks,
    slots,
    space,
    failures,
    keptWork: new ResumableLeftovers({ resumes, paths, targets, locks }),
    close: () => Promise.all(roots.map(({ handle }) => handle.close())),
  };
}

export const someCaller: Caller = {
  identity: 'test',
  roles: ['admin'],
  grant: BUILT_IN.admin,
  peer: 'test',
  signal: new AbortController().signal,
  deadline: undefined,
};
