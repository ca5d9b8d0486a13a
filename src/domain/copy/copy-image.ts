import { assertStorage } from '../images/assert-storage.js';
import { HostlerError } from '../model/errors.js';
import { fingerprint } from '../operations/request-ids.js';
import type { CopyResult } from '../operations/results.js';
import type { Resolution, Use, Verb } from '../operations/verb.js';
import { planByAgent, pushByAgent } from './agent-copy.js';
import { copyOnHost, planOnHost, type LocalCopyPorts } from './local-copy.js';
import { pullByAgent, type NbdCopyPorts } from './nbd-pull.js';
import { TRANSPORT } from './segment-pull.js';
import { copyBySsh, planBySsh, type SshCopyPorts } from './ssh-copy.js';
import type { CopySpec, FarSpec } from './copy-spec.js';

export type CopyPorts = LocalCopyPorts & SshCopyPorts & NbdCopyPorts;

/**
 * Copies the bytes of a file: same length, same bytes, holes stay holes. A crash leaves nothing
 * under the final name. Data that was pulled from another agent is kept for the next call; on a
 * remote host that is reached by ssh a private folder may stay, which the same call finds again.
 */
export function copyImage(ports: CopyPorts): Verb<CopySpec, CopyResult> {
  const byAgent = (spec: FarSpec) => goesByAgent(spec, ports);
  return {
    name: 'CopyImage',
    // A push moves no data itself: it waits for the peer, whose pull has a slot there.
    slot: (spec) => (isFar(spec) && spec.remote.side === 'target' && byAgent(spec) ? 'open' : 'io'),
    far: isFar,
    uses: ({ source, target, remote, overwrite, allowDependants, allowInUse }) => {
      const ends: Record<'source' | 'target', Use> = {
        source: { role: 'source', address: source, allowInUse },
        target: { role: 'target', address: target, overwrite, allowDependants },
      };
      // The address on the other host has no meaning here.
      return (['source', 'target'] as const).flatMap((end) => (remote?.side === end ? [] : [ends[end]]));
    },
    resume: {
      key: (spec) => fingerprint([spec.source, spec.remote, isFar(spec) && byAgent(spec)]),
      after: TRANSPORT,
      alone: isFar,
    },

    plan: (spec, resolution, run) => {
      if (!isFar(spec)) return planOnHost(spec, resolution, run, ports);
      assertSendable(spec, resolution);
      return (byAgent(spec) ? planByAgent : planBySsh)(spec, resolution, run, ports);
    },

    run: (spec, run) => {
      if (!isFar(spec)) return copyOnHost(spec, run, ports);
      assertSendable(spec, run);
      if (!byAgent(spec)) return copyBySsh(spec, run, ports);
      return (spec.remote.side === 'source' ? pullByAgent : pushByAgent)(spec, run, ports);
    },
  };
}

function isFar(spec: CopySpec): spec is FarSpec {
  return spec.remote !== undefined;
}

/**
 * Only files are sent between hosts: an image of a cluster is available to every host of the
 * cluster.
 */
function assertSendable({ source, target, remote }: FarSpec, { file, target: targetAt }: Resolution): void {
  const here = remote.side === 'source' ? targetAt(target) : file(source);
  assertStorage(here, ['file', 'device'], 'a copy between hosts');
}

/**
 * Whether the peer's agent moves the file: the configuration has one, and the request names no
 * other engine. Otherwise ssh is used.
 */
function goesByAgent({ engine, remote: { host, agent } }: FarSpec, { agents }: NbdCopyPorts): boolean {
  if (engine === 'NBD_SSH' || engine === 'RSYNC_SSH') return false;
  const known = agents.knows(host);
  if ((agent || engine === 'NBD_TLS') && !known)
    throw new HostlerError(
      'REMOTE_NOT_TRUSTED',
      `no [[peers]] of the configuration is ${host}, or [tls] or [exports] is missing`,
      { facts: { host } },
    );
  return known;
}
