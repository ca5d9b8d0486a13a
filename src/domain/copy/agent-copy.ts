import type { OperationPhase } from '../operations/record.js';
import type { CopyResult, Plan } from '../operations/results.js';
import type { Resolution, Run } from '../operations/verb.js';
import type { NbdCopyPorts } from './nbd-pull.js';
import { whyNbd } from './why-nbd.js';
import type { FarAgent, FarCopy, FarProgress, PullRequest } from './agents.js';
import { dataOf, dataExtents } from './far-extents.js';
import { patiently } from './patience.js';
import { beginDigest, digestShown } from '../verbs/digest-image.js';
import { asHostlerError } from '../model/errors.js';
import { wholeOf } from '../verbs/moved.js';
import { rest } from '../model/numbers.js';
import type { FarSpec } from './copy-spec.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { ToolRun } from '../ports/tools.js';

/** The plan of a copy by another agent. */
export async function planByAgent(
  spec: FarSpec,
  { file, target }: Resolution,
  tool: ToolRun,
  { agents, files }: NbdCopyPorts,
): Promise<Plan> {
  const agent = await agents.connect(spec.remote.host);
  try {
    if (spec.remote.side === 'target') {
      const plan = await agent.planPull(pullRequest(spec, ''), tool.signal);
      const { lengthBytes } = file(spec.source);
      return { ...plan, kind: 'plan', why: whyNbd(spec, lengthBytes, plan.moveBytes ?? lengthBytes) };
    }
    const source = await agent.openExport(spec.source, spec.allowInUse, tool.signal);
    let moveBytes: bigint;
    try {
      const { lengthBytes } = source;
      const extents = agent.map(spec.source, tool.signal);
      moveBytes = lengthBytes === 0n ? 0n : dataOf(await dataExtents(extents, { lengthBytes, host: spec.remote.host }));
    } finally {
      await agent.closeExport(source.name, tool.signal);
    }
    const freeBytes = await files.freeBytes(target(spec.target).directory);
    return {
      kind: 'plan',
      method: 'NBD_TLS',
      why: whyNbd(spec, source.lengthBytes, moveBytes),
      moveBytes,
      needBytes: moveBytes,
      freeBytes,
    };
  } finally {
    await agent.close();
  }
}

/**
 * Temporary failures while the peer pulls: a repeated call with the same request id returns its
 * outcome.
 */
const MAY_PASS: readonly Reason[] = ['REMOTE_UNREACHABLE', 'SHUTTING_DOWN', 'AGENT_RESTARTED'];

/**
 * A push: the peer is asked to pull, and this operation waits. The peer's operation continues
 * independently; the same request finds it again, also after the connection or the peer was
 * interrupted.
 */
export async function pushByAgent(spec: FarSpec, run: Run, ports: NbdCopyPorts): Promise<CopyResult> {
  const { agents } = ports;
  run.phase('INSPECTING');
  const agent = await agents.connect(spec.remote.host, run.caller.identity);
  try {
    await run.step('ask');
    await run.assertSourcesFree();
    run.phase('COPYING');
    const { replayed, warnings, ...done } = await pulledThere(spec, run, agent, ports);
    const why = whyNbd(spec, done.lengthBytes, rest(done.lengthBytes, done.skippedBytes));
    const verified = done.verified || replayed;
    run.progress(wholeOf(done));
    for (const warning of warnings) run.warn(warning);
    return await run.took<CopyResult>({ ...done, verified, kind: 'copy', target: spec.target, why });
  } finally {
    await agent.close();
  }
}

/**
 * The result of an earlier attempt with the same request counts only if the file still exists there
 * and equals the current source.
 */
async function pulledThere(spec: FarSpec, run: Run, agent: FarAgent, ports: NbdCopyPorts): Promise<FarCopy> {
  const { clock, pulls } = ports;
  const ask = (requestId: string) => () => agent.pull(pullRequest(spec, requestId), run.signal, shownAs(run));
  const patience = { clock, patienceMs: pulls.patienceMs };
  const { answer, tries } = await patiently(ask(run.requestKey), MAY_PASS, run.signal, patience);
  // A replayed answer to a call of this same operation is its own result.
  if (!answer.replayed || tries > 1 || run.requestKey === run.operationId) return { ...answer, replayed: false };
  if (await isSameThere(spec, run, agent, ports)) return answer;
  const anew = await patiently(ask(run.operationId), MAY_PASS, run.signal, patience);
  return { ...anew.answer, replayed: false };
}

/**
 * Shows the peer's moved and verified bytes as this operation's progress; each phase counts from 0.
 */
function shownAs(run: Run): FarProgress {
  let shown: OperationPhase | undefined;
  return ({ doneBytes, totalBytes, skippedBytes }, phase) => {
    if (phase !== shown && (phase === 'COPYING' || phase === 'VERIFYING')) run.phase((shown = phase));
    run.progress({ doneBytes, skippedBytes, ...(totalBytes === undefined ? {} : { totalBytes }) });
  };
}

async function isSameThere(
  { source, target }: FarSpec,
  run: Run,
  agent: FarAgent,
  { files, digests }: NbdCopyPorts,
): Promise<boolean> {
  beginDigest(run);
  try {
    return (
      (await agent.digest(target, run.signal)) ===
      (await digestShown(await files.refresh(run.file(source)), run, digests))
    );
  } catch (error) {
    if (asHostlerError(error).reason !== 'IMAGE_NOT_FOUND') throw error;
    return false;
  }
}

function pullRequest(spec: FarSpec, requestId: string): PullRequest {
  const { source, target, verify, overwrite, allowDependants, allowInUse, attributes, bytesPerSecond } = spec;
  const rate = bytesPerSecond === undefined ? {} : { bytesPerSecond };
  return { ...{ source, target, verify, overwrite, allowDependants, allowInUse, attributes, requestId }, ...rate };
}
