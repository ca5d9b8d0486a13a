import { basename } from '../model/address.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { CopyResult } from '../operations/results.js';
import { fingerprint } from '../operations/request-ids.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import { assertUnchanged } from '../images/unchanged.js';
import type { FarFile, FarPart, FarShell, RsyncCounts, RsyncTool } from './remote.js';
import type { FarSpec } from './copy-spec.js';
import { assertLengthWithinLimits, assertSafeForTrustedRoot } from './untrusted-source.js';
import type { Resolved } from '../ports/handles.js';
import { plainRun } from '../ports/tools.js';
import { whileGrowing } from '../operations/resources/while-growing.js';

export interface RsyncCopyPorts {
  readonly files: Files;
  readonly reader: ImageReader;
  readonly farShell: FarShell;
  readonly rsync: RsyncTool;
}

/** Time to clean up on the remote host after a cancel. */
const TIDY_MS = 30_000;
/** Limit by which a source in use may grow while it is copied. */
const GROWS_BYTES = 1n << 30n;

/** Pulls a file from a host that is reached by ssh, in the state that `look` found. */
export async function receiveByRsync(
  spec: FarSpec,
  run: Run,
  ports: RsyncCopyPorts,
  source: FarFile,
  why: string,
): Promise<CopyResult> {
  const { remote } = spec;
  const { farShell, reader, rsync } = ports;
  assertLengthWithinLimits({ address: spec.source, lengthBytes: source.lengthBytes }, source, reader);
  // When the connection breaks, rsync leaves its data under the source's name and starts from it
  // the next time.
  const { part } = await run.resumablePart(spec.target, spec);
  await run.checkpoint({ fingerprint: source.fingerprint });
  const folder = { handle: part.handle };
  run.phase('COPYING');
  const before = await part.takenBytes();
  const mostBytes = mostOf(spec, source);
  const growth = {
    shareBytes: before + least(source),
    mostBytes: before + mostBytes,
    takenBytes: () => part.takenBytes(),
  };
  const counts = await whileGrowing(run, spec.target, growth, async (signal) => {
    await run.step('copy');
    const tool = { ...run.tool(), signal };
    return rsync.receive(remote, spec.source, folder, { ...options(spec), mostBytes }, tool, shown(run, source));
  });
  if (spec.verify) {
    run.phase('VERIFYING');
    await run.step('verify');
    if (!(await rsync.sameReceived(remote, spec.source, folder, run.tool()))) throw differs(spec);
  }
  const after = await farShell.look(remote, spec.source, spec.allowInUse, run.tool());
  if (after.fingerprint !== source.fingerprint && !spec.allowInUse) throw changed(spec);
  await part.adopt(basename(spec.source));
  const { handle, name } = part;
  await assertSafeForTrustedRoot({ address: spec.source, handle, name }, source, run.target(spec.target), reader, run);
  await run.step('seal');
  const made = await part.seal();
  if (made.lengthBytes !== source.lengthBytes && !spec.allowInUse) throw changed(spec);
  const result = copied(spec, made, counts, why);
  return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
}

/**
 * Pushes a file to a host that is reached by ssh: into a private folder there, from which it is
 * published when complete.
 */
export async function sendByRsync(
  spec: FarSpec,
  run: Run,
  ports: RsyncCopyPorts,
  source: Resolved,
  why: string,
): Promise<CopyResult> {
  const { remote } = spec;
  const { farShell } = ports;
  await run.step('prepare');
  const { device, inode, lengthBytes, modifyTimeNs } = source;
  const key = fingerprint([device, inode, lengthBytes, modifyTimeNs, spec.target]);
  const need = { key, overwrite: spec.overwrite, needBytes: least(source) };
  const far = await farShell.prepare(remote, spec.target, need, run.tool());
  try {
    return await sendInto(far.part, source, spec, run, ports, why);
  } catch (error) {
    // Data that was sent before the connection broke is found again by the same call; any other
    // failure leaves nothing.
    if (run.signal.aborted || asHostlerError(error).reason !== 'REMOTE_UNREACHABLE')
      await farShell.discard(far.part, plainRun(AbortSignal.timeout(TIDY_MS))).catch(() => {
        run.warn({ reason: 'CLEANUP_FAILED', message: `${far.part.folder} on ${remote.host} could not be removed` });
      });
    throw error;
  }
}

async function sendInto(
  part: FarPart,
  source: Resolved,
  spec: FarSpec,
  run: Run,
  ports: RsyncCopyPorts,
  why: string,
): Promise<CopyResult> {
  const { farShell, files, rsync } = ports;
  run.phase('COPYING');
  await run.step('copy');
  const counts = await rsync.send(source, part, options(spec), run.tool(), shown(run, source));
  if (spec.verify) {
    run.phase('VERIFYING');
    await run.step('verify');
    if (!(await rsync.sameSent(source, part, run.tool()))) throw differs(spec);
  }
  if (!spec.allowInUse) await assertUnchanged([source], files);
  return run.commitFar(async () => {
    const { allocatedBytes, lost } = await farShell.publish(part, spec.attributes, spec.overwrite, run.tool());
    warnOfLost(spec, lost, run);
    return copied(spec, { lengthBytes: source.lengthBytes, allocatedBytes }, counts, why);
  });
}

function options({ compress, bytesPerSecond }: FarSpec) {
  return { compress, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) };
}

function changed({ source, remote: { host } }: FarSpec): HostlerError {
  const facts = { host, path: source };
  return new HostlerError('SOURCE_CHANGED', `${source} on ${host} changed while it was read`, { facts });
}

/** The length that `look` found; for a source in use, plus what a guest may have added. */
function mostOf({ allowInUse }: FarSpec, { lengthBytes }: FarFile): bigint {
  return allowInUse ? lengthBytes + GROWS_BYTES : lengthBytes;
}

/** rsync reads every byte, so all bytes count as work. */
function shown(run: Run, { lengthBytes }: { readonly lengthBytes: bigint }): (bytes: bigint) => void {
  run.progress({ doneBytes: 0n, totalBytes: lengthBytes, skippedBytes: 0n });
  return (bytes) => {
    run.progress({ doneBytes: bytes < lengthBytes ? bytes : lengthBytes, totalBytes: lengthBytes, skippedBytes: 0n });
  };
}

function copied(
  spec: FarSpec,
  { lengthBytes, allocatedBytes }: Sizes,
  { literalBytes }: RsyncCounts,
  why: string,
): CopyResult {
  return {
    kind: 'copy',
    target: spec.target,
    lengthBytes,
    allocatedBytes,
    engine: 'RSYNC_SSH',
    why,
    movedBytes: literalBytes,
    // Holes are sent as zeros, and bytes that are not sent were there before.
    skippedBytes: 0n,
    verified: spec.verify,
  };
}

export interface Sizes {
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
}

/** The smaller of length and allocated bytes: what a copy needs at least. */
export function least({ lengthBytes, allocatedBytes }: Sizes): bigint {
  return allocatedBytes < lengthBytes ? allocatedBytes : lengthBytes;
}

/** Warns of lost attributes, as for a file that is replaced on this host. */
export function warnOfLost({ target, remote: { host } }: FarSpec, lost: readonly string[], run: Run): void {
  if (lost.length === 0) return;
  const message = `the file that was ${target} on ${host} had what the new one has not: ${lost.join(', ')}`;
  run.warn({ reason: 'RIGHTS_NOT_KEPT', message });
}

/** CHECKSUM_MISMATCH for a copy that differs from its source. */
export function differs({ source, target }: FarSpec): HostlerError {
  return new HostlerError('CHECKSUM_MISMATCH', `the copy ${target} differs from ${source}`, {
    facts: { path: source, target },
  });
}
