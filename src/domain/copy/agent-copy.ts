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

/** What a copy with the help of another agent would do. */
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
 * What may pass while the far agent pulls: asked again with the same request id it says what has
 * become of it.
 */
const MAY_PASS: readonly Reason[] = ['REMOTE_UNREACHABLE', 'SHUTTING_DOWN', 'AGENT_RESTARTED'];

/**
 * A push: the far agent is asked to pull, and we wait. Its operation continues without us; the same
 * request finds it again, and so do we when the connection or the far agent comes back.
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
 * What an earlier attempt at the same request came to counts as far as it is there still, and is
 * what our file is now.
 */
async function pulledThere(spec: FarSpec, run: Run, agent: FarAgent, ports: NbdCopyPorts): Promise<FarCopy> {
  const { clock, pulls } = ports;
  const ask = (requestId: string) => () => agent.pull(pullRequest(spec, requestId), run.signal, shownAs(run));
  const patience = { clock, patienceMs: pulls.patienceMs };
  const { answer, tries } = await patiently(ask(run.requestKey), MAY_PASS, run.signal, patience);
  // What is answered again for our own earlier question is the answer to it.
  if (!answer.replayed || tries > 1 || run.requestKey === run.operationId) return { ...answer, replayed: false };
  if (await isSameThere(spec, run, agent, ports)) return answer;
  const anew = await patiently(ask(run.operationId), MAY_PASS, run.signal, patience);
  return { ...anew.answer, replayed: false };
}

/** What is moved and what is verified there are so here: each counts from its own beginning. */
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
