import { beginDigest, digestShown, dataExtentsOf, type Digests } from '../verbs/digest-image.js';
import { HostlerError } from '../model/errors.js';
import { movedOf, wholeOf } from '../verbs/moved.js';
import { rest, scale } from '../model/numbers.js';
import type { CopyResult, Plan } from '../operations/results.js';
import type { Resolution, Run } from '../operations/verb.js';
import { assertUnchanged } from '../images/unchanged.js';
import { pullByNbd } from './nbd-pull.js';
import { dataShare } from './why-nbd.js';
import type { NbdPullPorts } from './segment-pull.js';
import type { FarNbd, FarTools } from './remote.js';
import {
  differs,
  least,
  receiveByRsync,
  sendByRsync,
  warnOfLost,
  type RsyncCopyPorts,
  type Sizes,
} from './rsync-copy.js';
import type { FarSpec } from './copy-spec.js';
import type { Resolved } from '../ports/handles.js';
import type { ImageTool, ToolRun } from '../ports/tools.js';

export type SshCopyPorts = RsyncCopyPorts &
  NbdPullPorts & { readonly farNbd: FarNbd; readonly tool: ImageTool; readonly digests: Digests };

type SshEngine = 'NBD_SSH' | 'RSYNC_SSH';

/** How the bytes are copied, and why. */
interface EngineChoice {
  readonly engine: SshEngine;
  readonly why: string;
}

/** The plan of a copy by ssh. */
export async function planBySsh(
  spec: FarSpec,
  { file, target }: Resolution,
  tool: ToolRun,
  { farShell, files }: SshCopyPorts,
): Promise<Plan> {
  const { remote } = spec;
  if (remote.side === 'target') {
    const { tools, freeBytes } = await farShell.plan(remote, spec.target, tool);
    return planned(chooseBySsh(spec, file(spec.source), tools), file(spec.source), freeBytes);
  }
  const source = await farShell.look(remote, spec.source, spec.allowInUse, tool);
  const freeBytes = await files.freeBytes(target(spec.target).directory);
  return planned(chooseBySsh(spec, source, source.tools), source, freeBytes);
}

/** Copies to or from a host that is reached by ssh. */
export async function copyBySsh(spec: FarSpec, run: Run, ports: SshCopyPorts): Promise<CopyResult> {
  const { remote } = spec;
  run.phase('INSPECTING');
  await run.step('look');
  if (remote.side === 'source') {
    const source = await ports.farShell.look(remote, spec.source, spec.allowInUse, run.tool());
    const { engine, why } = chooseBySsh(spec, source, source.tools);
    if (engine === 'RSYNC_SSH') return receiveByRsync(spec, run, ports, source, why);
    return pullByNbd(spec, run, ports, ports.farNbd.source(remote, run.tool()), engine, why);
  }
  const source = await ports.files.refresh(run.file(spec.source));
  const { engine, why } = chooseBySsh(spec, source, await toolsThere(spec, run, ports));
  return (engine === 'RSYNC_SSH' ? sendByRsync : sendByNbd)(spec, run, ports, source, why);
}

/**
 * If the caller requests an engine, a missing tool is that engine's own error: no check is needed
 * here.
 */
async function toolsThere({ engine, remote, target }: FarSpec, run: Run, { farShell }: SshCopyPorts) {
  if (engine === 'NBD_SSH' || engine === 'RSYNC_SSH') return { rsync: true, qemuNbd: true };
  return (await farShell.plan(remote, target, run.tool())).tools;
}

/**
 * Chooses by the tools on the remote host, and by how much of the file is data. Fails with
 * TOOL_MISSING.
 */
export function chooseBySsh({ engine, remote: { host } }: FarSpec, file: Sizes, tools: FarTools): EngineChoice {
  if (engine === 'NBD_SSH' && !tools.qemuNbd) throw missing(host, 'qemu-nbd');
  if (engine === 'RSYNC_SSH' && !tools.rsync) throw missing(host, 'rsync');
  if (engine === 'NBD_SSH' || engine === 'RSYNC_SSH') return { engine, why: `${engine} was asked for` };
  const noAgent = `no agent of ${host} is configured`;
  const hasHoles = file.allocatedBytes * 10n < file.lengthBytes * 9n;
  if (tools.qemuNbd && hasHoles)
    return {
      engine: 'NBD_SSH',
      why: `${noAgent}; it has qemu-nbd, so ${dataShare(file.lengthBytes, file.allocatedBytes)} goes over NBD through ssh`,
    };
  if (tools.rsync) {
    const passedOver = tools.qemuNbd ? 'the file has hardly any holes' : 'it has no qemu-nbd, so holes are read too';
    return { engine: 'RSYNC_SSH', why: `${noAgent}; ${passedOver}; rsync resumes after a lost connection` };
  }
  if (tools.qemuNbd) return { engine: 'NBD_SSH', why: `${noAgent}; it has no rsync, but qemu-nbd` };
  throw missing(host, 'rsync and no qemu-nbd');
}

function missing(host: string, tool: string): HostlerError {
  return new HostlerError('TOOL_MISSING', `${host} has no ${tool}`, { facts: { host, tool } });
}

function planned({ engine, why }: EngineChoice, file: Sizes, freeBytes: bigint): Plan {
  const needBytes = least(file);
  const moveBytes = engine === 'RSYNC_SSH' ? file.lengthBytes : needBytes;
  return { kind: 'plan', method: engine, why, moveBytes, needBytes, freeBytes };
}

/**
 * Writes a file's data into an export of the remote host, which publishes the file when it is
 * complete, and keeps nothing otherwise.
 */
async function sendByNbd(
  spec: FarSpec,
  run: Run,
  ports: SshCopyPorts,
  source: Resolved,
  why: string,
): Promise<CopyResult> {
  const { overwrite, attributes, allowInUse: shared, bytesPerSecond } = spec;
  const { lengthBytes } = source;
  const totalBytes = least(source);
  const skippedBytes = rest(lengthBytes, totalBytes);
  const show = (doneBytes: bigint) => run.progress({ doneBytes, totalBytes, skippedBytes });
  await run.step('prepare');
  const need = { lengthBytes, needBytes: totalBytes, overwrite, attributes };
  const far = await ports.farNbd.draft(spec.remote, spec.target, need, run.tool());
  try {
    run.phase('COPYING');
    show(0n);
    await run.step('copy');
    const rate = bytesPerSecond === undefined ? {} : { bytesPerSecond };
    const tool = run.tool((fraction, ahead) => show(scale(totalBytes, fraction, ahead)));
    await far.write(source, { shared, ...rate }, tool);
    show(totalBytes);
    if (spec.verify) await verify(spec, run, ports, source, (extents) => far.digest(extents, run.tool()));
    if (!shared) await assertUnchanged([source], ports.files);
    return await run.commitFar(async (): Promise<CopyResult> => {
      const { allocatedBytes, lost } = await far.publish();
      warnOfLost(spec, lost, run);
      const sizes = { lengthBytes, allocatedBytes, ...movedOf({ allocatedBytes }, totalBytes, lengthBytes) };
      run.progress(wholeOf(sizes));
      return { kind: 'copy', target: spec.target, ...sizes, engine: 'NBD_SSH', why, verified: spec.verify };
    });
  } finally {
    await far.close();
  }
}

async function verify(
  spec: FarSpec,
  run: Run,
  { digests, tool }: SshCopyPorts,
  source: Resolved,
  thereOf: (extents: ReturnType<typeof dataExtentsOf>) => Promise<string>,
): Promise<void> {
  beginDigest(run);
  await run.step('verify');
  const here = await digestShown(source, run, digests);
  if (here !== (await thereOf(dataExtentsOf(source, tool, run.tool())))) throw differs(spec);
}
