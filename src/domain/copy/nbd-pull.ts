import { beginDigest, digestShown } from '../verbs/digest-image.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { wholeOf } from '../verbs/moved.js';
import { rest } from '../model/numbers.js';
import type { CopyResult } from '../operations/record.js';
import type { Run } from '../operations/verb.js';
import type { FarAgents, FarSource } from './agents.js';
import { patiently } from './patience.js';
import { MAY_PASS, Pull, type Counts, type NbdPullPorts } from './segment-pull.js';
import type { FarEngine, FarSpec } from './copy-spec.js';
import { assertSafeForTrustedRoot } from './untrusted-source.js';
import type { Resolved } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';

export type NbdCopyPorts = NbdPullPorts & { readonly agents: FarAgents };

/** Pulls a file from another agent. */
export async function pullByAgent(spec: FarSpec, run: Run, ports: NbdCopyPorts): Promise<CopyResult> {
  run.phase('INSPECTING');
  const agent = await ports.agents.connect(spec.remote.host, run.caller.identity);
  return pullByNbd(spec, run, ports, agent, 'NBD_TLS', ({ lengthBytes, dataBytes }) =>
    whyNbd(spec, lengthBytes, dataBytes),
  );
}

/**
 * Pulls a file: segments, several at a time, each durable before it counts. Lets go of the source.
 */
export async function pullByNbd(
  spec: FarSpec,
  run: Run,
  ports: NbdPullPorts,
  agent: FarSource,
  engine: FarEngine,
  why: (counts: Counts) => string,
): Promise<CopyResult> {
  try {
    const { part, checkpoint } = await run.resumablePart(spec.target, spec);
    const pull = new Pull(spec, run, part, agent, ports);
    let counts = await pull.untilWhole(checkpoint ?? {});
    let made = await seal(spec, run, part, agent, counts, ports);
    const verified = spec.verify || pull.suspect !== undefined;
    if (verified && !(await isSame(spec, run, made, agent, ports))) {
      if (pull.suspect !== 'before') throw differs(spec, pull.suspect);
      await pull.forget();
      counts = await pull.untilWhole({});
      made = await seal(spec, run, part, agent, counts, ports);
      if (!(await isSame(spec, run, made, agent, ports))) throw differs(spec, pull.suspect);
    }
    const result: CopyResult = {
      kind: 'copy',
      target: spec.target,
      lengthBytes: made.lengthBytes,
      allocatedBytes: made.allocatedBytes,
      engine,
      why: why(counts),
      movedBytes: counts.movedBytes,
      skippedBytes: rest(counts.lengthBytes, counts.dataBytes),
      verified,
    };
    // A verification has shown how far it was.
    run.progress(wholeOf(result));
    return await run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
  } finally {
    await agent.close();
  }
}

/** Why the engine was chosen, for the plan and the result. */
export function whyNbd({ engine, remote: { host } }: FarSpec, lengthBytes: bigint, dataBytes: bigint): string {
  if (engine === 'NBD_TLS') return 'NBD_TLS was asked for';
  return `${host} has an agent: ${dataShare(lengthBytes, dataBytes)} is pulled over NBD with TLS, and resumes when the connection breaks`;
}

/** How much of a file is data, in words. */
export function dataShare(lengthBytes: bigint, dataBytes: bigint): string {
  if (dataBytes >= lengthBytes) return 'the file, which has no holes,';
  return `the data, ${String((dataBytes * 100n) / lengthBytes)} % of the file, the rest being holes,`;
}

/** Exact, durable, and nothing that an untrusted source must not bring. */
async function seal(
  spec: FarSpec,
  run: Run,
  part: StagedImage,
  agent: FarSource,
  { lengthBytes }: Counts,
  { reader }: NbdPullPorts,
): Promise<Resolved> {
  // qemu's raw driver rounds up to 512.
  await part.truncate(lengthBytes);
  const { handle, name } = part;
  await assertSafeForTrustedRoot({ address: spec.source, handle, name }, agent, run.target(spec.target), reader, run);
  await run.step('seal');
  return part.seal();
}

/** Whether both ends have the same digest. */
async function isSame(
  spec: FarSpec,
  run: Run,
  made: Resolved,
  agent: FarSource,
  ports: NbdPullPorts,
): Promise<boolean> {
  const { files, digests } = ports;
  beginDigest(run);
  await run.step('verify');
  const now = await files.refresh(made);
  const stop = new AbortController();
  const signal = AbortSignal.any([run.signal, stop.signal]);
  const ended = await Promise.allSettled(
    [digestShown(now, run, digests), farDigest(spec, agent, signal, ports)].map((digest) =>
      digest.catch((error: unknown) => {
        // The other one is of no use any more.
        stop.abort(asHostlerError(error));
        throw error;
      }),
    ),
  );
  if (stop.signal.aborted) throw asHostlerError(stop.signal.reason);
  const [here, there] = ended.map((digest) => (digest.status === 'fulfilled' ? digest.value : undefined));
  return here === there;
}

/**
 * Asked again for a while when the far agent has gone, or has no place: everything has come
 * already.
 */
async function farDigest(
  { source }: FarSpec,
  agent: FarSource,
  signal: AbortSignal,
  { clock, pulls: { patienceMs } }: NbdPullPorts,
): Promise<string> {
  const { answer } = await patiently(() => agent.digest(source, signal), MAY_PASS, signal, { clock, patienceMs });
  return answer;
}

function differs({ source, target }: FarSpec, suspect: Pull['suspect']): HostlerError {
  const facts = { path: source, target };
  if (suspect === undefined)
    return new HostlerError('CHECKSUM_MISMATCH', `the copy ${target} differs from ${source}`, { facts });
  return new HostlerError('SOURCE_CHANGED', `${source} changed while it was read`, { facts });
}
