import type { CopyResult, Plan } from '../operations/record.js';
import type { Resolution, Run } from '../operations/verb.js';
import type { ToolRun } from '../ports.js';
import type { FarSpec } from './copy-image.js';
import { whyNbd, type NbdCopyPorts } from './nbd-pull.js';
import type { PullRequest } from './agents.js';
import { rest, uint64 } from '../numbers.js';

/** What a copy with the help of another agent would do. */
export async function planByAgent(
  spec: FarSpec,
  { file, target }: Resolution,
  run: ToolRun,
  { agents, files }: NbdCopyPorts,
): Promise<Plan> {
  const agent = await agents.connect(spec.remote.host);
  try {
    if (spec.remote.side === 'target') {
      const plan = await agent.planPull(pullRequest(spec, ''), run.signal);
      const { lengthBytes } = file(spec.source);
      return { ...plan, kind: 'plan', why: whyNbd(spec, lengthBytes, plan.moveBytes ?? lengthBytes) };
    }
    const source = await agent.openExport(spec.source, spec.allowInUse, run.signal);
    let moveBytes = 0n;
    try {
      if (source.lengthBytes > 0n)
        for await (const { data, lengthBytes } of agent.map(spec.source, run.signal))
          if (data) moveBytes = uint64(moveBytes + lengthBytes);
    } finally {
      await agent.closeExport(source.name, run.signal);
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

/** A push: the far agent is asked to pull, and we wait. It goes on when we are gone, and is found again by our id. */
export async function pushByAgent(spec: FarSpec, run: Run, { agents }: NbdCopyPorts): Promise<CopyResult> {
  run.phase('INSPECTING');
  const agent = await agents.connect(spec.remote.host, run.caller.identity);
  try {
    await run.step('ask');
    await run.assertSourcesFree();
    run.phase('COPYING');
    const request = pullRequest(spec, run.operationId);
    const done = await agent.pull(request, run.signal, ({ doneBytes, totalBytes, skippedBytes }) => {
      run.progress({ doneBytes, skippedBytes, ...(totalBytes === undefined ? {} : { totalBytes }) });
    });
    const why = whyNbd(spec, done.lengthBytes, rest(done.lengthBytes, done.skippedBytes));
    return await run.took<CopyResult>({ ...done, kind: 'copy', target: spec.target, why });
  } finally {
    await agent.close();
  }
}

function pullRequest(spec: FarSpec, requestId: string): PullRequest {
  const { source, target, verify, overwrite, allowDependants, allowInUse, attributes, bytesPerSecond } = spec;
  const rate = bytesPerSecond === undefined ? {} : { bytesPerSecond };
  return { ...{ source, target, verify, overwrite, allowDependants, allowInUse, attributes, requestId }, ...rate };
}
