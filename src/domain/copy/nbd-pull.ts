import { wholeOf } from '../verbs/moved.js';
import { rest } from '../model/numbers.js';
import type { CopyResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { FarAgents, FarSource } from './agents.js';
import { pullSealed } from './sealed-pull.js';
import type { NbdPullPorts } from './segment-pull.js';
import type { FarEngine, FarSpec } from './copy-spec.js';
import { whyNbd } from './why-nbd.js';

export type NbdCopyPorts = NbdPullPorts & { readonly agents: FarAgents };

/** Pulls a file from another agent. */
export async function pullByAgent(spec: FarSpec, run: Run, ports: NbdCopyPorts): Promise<CopyResult> {
  run.phase('INSPECTING');
  const agent = await ports.agents.connect(spec.remote.host, run.caller.identity);
  return pullByNbd(spec, run, ports, agent, 'NBD_TLS');
}

/**
 * Pulls a file in segments, several at a time; each is durable before it counts. Closes the source.
 * `why` is the reason for the engine; unset: an agent is configured, and the share of data.
 */
export async function pullByNbd(
  spec: FarSpec,
  run: Run,
  ports: NbdPullPorts,
  agent: FarSource,
  engine: FarEngine,
  why?: string,
): Promise<CopyResult> {
  try {
    const { part, checkpoint } = await run.resumablePart(spec.target, spec);
    const { made, counts, verified } = await pullSealed(spec, checkpoint ?? {}, part, agent, run, ports);
    const result: CopyResult = {
      kind: 'copy',
      target: spec.target,
      lengthBytes: made.lengthBytes,
      allocatedBytes: made.allocatedBytes,
      engine,
      why: why ?? whyNbd(spec, counts.lengthBytes, counts.dataBytes),
      movedBytes: counts.movedBytes,
      skippedBytes: rest(counts.lengthBytes, counts.dataBytes),
      verified,
    };
    // The verification has replaced the progress of the transfer.
    run.progress(wholeOf(result));
    return await run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
  } finally {
    await agent.close();
  }
}
