/** Part of the composition root: transfers of images between this host and others. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../adapters/config/config.js';
import { SshFarShell, type FarScope } from '../adapters/ssh/far-shell.js';
import { LocalTransfers } from '../adapters/files/local-transfers.js';
import type { MemoryFolders } from '../adapters/process/memory-folders.js';
import { NbdClient } from '../adapters/qemu/nbd-client.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { QemuNbdServer } from '../adapters/qemu/qemu-nbd.js';
import { Rsync } from '../adapters/ssh/rsync.js';
import type { ToolLimits } from '../adapters/process/tool-call.js';
import { SshNbd } from '../adapters/ssh/ssh-nbd.js';
import { exportConfig, peersConfig, pullConfig, sshConfig } from '../adapters/config/transfer-config.js';
import { PeerAgents } from '../adapters/peers/agent-client.js';
import type { TlsPaths } from '../protocol/certificate-files.js';

const ANY_ADDRESS = ['0.0.0.0', '::'];
const MS_PER_HOUR = 3_600_000;
const MINUTES_PER_HOUR = 60;
/** For a daemon that serves no exports. */
const NO_TIME = { idleMs: 0, totalMs: 0 };

/** The adapters of copies, uploads and exports: ssh, NBD and the clients of other agents. */
export function transferPorts(
  config: Config,
  { runner, folders }: { readonly runner: ProcessRunner; readonly folders: MemoryFolders },
  agentId: string,
  limits: ToolLimits,
  scope: FarScope,
) {
  const { exports, pulls, uploads, tls } = config;
  const ssh = sshConfig(config.ssh);
  const nbd = new NbdClient(runner, { ...limits, stallMs: pulls.stall_seconds * 1000 });
  const patience = { answerMs: pulls.answer_seconds * 1000, silenceMs: pulls.silence_seconds * 1000 };
  const address = exports === undefined || ANY_ADDRESS.includes(exports.address) ? '' : exports.address;
  return {
    farShell: new SshFarShell(runner, ssh, agentId, Math.ceil(config.limits.resume_hours * MINUTES_PER_HOUR), scope),
    rsync: new Rsync(runner, ssh, limits),
    agents: new PeerAgents({ ...peersConfig(config), tls: tlsPaths(tls), patience }),
    nbd,
    farNbd: new SshNbd({
      runner,
      folders,
      config: ssh,
      tool: nbd,
      agentId,
      randomBytes,
      silenceMs: patience.silenceMs,
      scope,
    }),
    pulls: pullConfig(pulls),
    transfers: new LocalTransfers(),
    clock: Date.now,
    uploadExpireMs: uploads.expire_hours * MS_PER_HOUR,
    exportServer: new QemuNbdServer(runner, folders, exportConfig(exports)),
    randomBytes: (count: number) => randomBytes(count),
    exportTimes:
      exports === undefined
        ? NO_TIME
        : { idleMs: exports.idle_seconds * 1000, totalMs: exports.total_hours * MS_PER_HOUR },
    exportHost: address.includes(':') ? `[${address}]` : address,
  };
}

function tlsPaths(tls: Config['tls']): TlsPaths | undefined {
  if (tls === undefined) return undefined;
  const { crl, ...rest } = tls;
  return crl === undefined ? rest : { ...rest, crl };
}
