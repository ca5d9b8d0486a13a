import { beginDigest, digestShown } from '../verbs/digest-image.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Run } from '../operations/verb.js';
import type { FarSource } from './agents.js';
import { patiently } from './patience.js';
import { goneIsChanged, MAY_PASS, Pull, type Counts, type NbdPullPorts } from './segment-pull.js';
import type { FarSpec } from './copy-spec.js';
import { assertSafeForTrustedRoot } from './untrusted-source.js';
import type { Resolved } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';

/** A received file, exact and durable. */
interface Sealed {
  readonly made: Resolved;
  readonly counts: Counts;
  /** Both sides have the same digest. */
  readonly verified: boolean;
}

/**
 * Pulls a file into its private folder, resuming from a checkpoint, and seals it. It is verified if
 * the caller requests that, or if only the times of the source have changed: if it then differs
 * from the data of an earlier attempt, all of it is pulled once more. Fails with CHECKSUM_MISMATCH
 * and SOURCE_CHANGED.
 */
export async function pullSealed(
  spec: FarSpec,
  checkpoint: Readonly<Record<string, string>>,
  part: StagedImage,
  agent: FarSource,
  run: Run,
  ports: NbdPullPorts,
): Promise<Sealed> {
  const pull = new Pull(spec, run, part, agent, ports);
  const whole = async (from: Readonly<Record<string, string>>) => {
    const counts = await pull.untilWhole(from);
    return { counts, made: await seal(spec, run, part, agent, counts, ports) };
  };
  const first = await whole(checkpoint);
  if (!spec.verify && pull.suspect === undefined) return { ...first, verified: false };
  if (await isSame(spec, run, first.made, agent, ports)) return { ...first, verified: true };
  if (pull.suspect !== 'before') throw differs(spec, pull.suspect);
  await pull.forget();
  const second = await whole({});
  if (!(await isSame(spec, run, second.made, agent, ports))) throw differs(spec, pull.suspect);
  return { ...second, verified: true };
}

/** Makes the file exact and durable, and checks that an untrusted source sent nothing harmful. */
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

/** Whether both sides have the same digest. */
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
        // The other digest is no longer needed.
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
 * Repeated for some time while the peer is gone or has no free slot: all data has arrived already.
 * A source that no longer exists has changed.
 */
async function farDigest(
  { source }: FarSpec,
  agent: FarSource,
  signal: AbortSignal,
  { clock, pulls: { patienceMs } }: NbdPullPorts,
): Promise<string> {
  const digest = () =>
    agent.digest(source, signal).catch((error: unknown) => {
      throw goneIsChanged({ source }, error);
    });
  const { answer } = await patiently(digest, MAY_PASS, signal, { clock, patienceMs });
  return answer;
}

function differs({ source, target }: FarSpec, suspect: Pull['suspect']): HostlerError {
  const facts = { path: source, target };
  if (suspect === undefined)
    return new HostlerError('CHECKSUM_MISMATCH', `the copy ${target} differs from ${source}`, { facts });
  return new HostlerError('SOURCE_CHANGED', `${source} changed while it was read`, { facts });
}
