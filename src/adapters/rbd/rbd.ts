import { readFile } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import { PathLooks } from '../gates/path-looks.js';
import { systemError } from '../linux/errno.js';
import type { ProcessRunner } from '../process/process.js';
import type { ToolLimits } from '../process/tool-call.js';
import type { Cluster, ClusterAccess } from '../qemu/rbd-pool.js';
import { parsePercent, rbdError } from './rbd-output.js';
import { plainRun, type ToolRun } from '../../domain/ports/tools.js';

/** How much of a tool's standard error is kept while it works. */
const SAID = 200;
/** The tools print times in their local time zone. */
const ENV = { TZ: 'UTC' };
/** Stall limit if the configuration has none: `rbd` reports each percent. */
const STALL_MS = 600_000;

/**
 * Runs `rbd` and `ceph` against a cluster. They read nothing that a guest wrote, so they run
 * outside the sandbox.
 */
export class Rbd {
  /** @param limits of the children that work on whole images */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  /**
   * Runs a short query and returns its output. Fails with ROOT_STALLED if the cluster does not
   * answer in time, and as `rbdError`.
   */
  async ask(cluster: Cluster, what: string, words: readonly string[], tool?: ToolRun): Promise<string> {
    return this.#ask('rbd', cluster, what, words, tool);
  }

  /** The same for `ceph`. */
  async askCluster(cluster: Cluster, words: readonly string[]): Promise<string> {
    return this.#ask('ceph', cluster, `the cluster ${cluster.name}`, words);
  }

  /** Runs a long command with progress. Fails as `ask`, with STALLED instead of ROOT_STALLED. */
  async work(cluster: Cluster, what: string, words: readonly string[], tool: ToolRun): Promise<void> {
    let output = '';
    const call = {
      tool: 'rbd',
      args: [...connection(cluster), ...words],
      trusted: true,
      silent: isChange(words),
      limits: { stallMs: STALL_MS, ...this.limits },
      env: ENV,
    };
    const exit = await this.runner.pieces(call, tool, (stream, piece) => {
      if (stream === 'stderr') output = (output + piece.toString('latin1')).slice(-SAID);
      const fraction = parsePercent(output);
      if (fraction !== undefined) tool.onFraction?.(fraction);
      return Promise.resolve();
    });
    if (!exit.succeeded) throw rbdError('rbd', what, exit);
  }

  /** Runs a command that prints bytes, and passes on each chunk as it arrives. Fails as `work`. */
  async read(
    cluster: Cluster,
    what: string,
    words: readonly string[],
    tool: ToolRun,
    onPiece: (piece: Buffer) => Promise<void>,
  ): Promise<void> {
    const call = {
      tool: 'rbd',
      args: [...connection(cluster), ...words],
      trusted: true,
      limits: this.limits,
      env: ENV,
    };
    const exit = await this.runner.pieces(call, tool, (stream, piece) =>
      stream === 'stdout' ? onPiece(piece) : Promise.resolve(),
    );
    if (!exit.succeeded) throw rbdError('rbd', what, exit);
  }

  async #ask(
    tool: 'rbd' | 'ceph',
    cluster: Cluster,
    what: string,
    words: readonly string[],
    run?: ToolRun,
  ): Promise<string> {
    const call = {
      tool,
      args: [...connection(cluster), ...words],
      trusted: true,
      silent: tool === 'rbd' && isChange(words),
      limits: { wallMs: cluster.patienceMs },
      env: ENV,
    };
    const alone = plainRun();
    const exit = await this.runner.run(call, run ?? alone).catch((error: unknown) => {
      if (error instanceof HostlerError && error.reason === 'TOOL_LIMIT_EXCEEDED') throw stalled(cluster, error);
      throw error;
    });
    if (!exit.succeeded) throw rbdError(tool, what, exit);
    return exit.stdout;
  }
}

/** Commands of `rbd` that only read. */
const READING = /^(?:info|du|ls|status|children|export-diff|(?:snap|namespace) ls|image-meta (?:get|list))\b/;

function isChange(words: readonly string[]): boolean {
  return !READING.test(words.slice(0, 2).join(' '));
}

function connection({ configFile, user, keyring }: Cluster): string[] {
  return ['--conf', configFile, '--id', user, ...(keyring === undefined ? [] : ['--keyring', keyring])];
}

function stalled({ name, patienceMs }: Cluster, cause: unknown): HostlerError {
  return new HostlerError('ROOT_STALLED', `the cluster ${name} does not answer`, {
    facts: { cluster: name, waited_ms: String(patienceMs) },
    retryAfterMs: patienceMs,
    cause,
  });
}

/**
 * The configuration that qemu needs for a cluster, read each time because keys change. Fails with
 * CLUSTER_UNUSABLE, ACCESS_DENIED, IO_ERROR and HOST_EXHAUSTED, and with ROOT_STALLED if the
 * filesystem of the two files does not answer in time.
 */
export async function clusterAccess(cluster: Cluster): Promise<ClusterAccess> {
  const { configFile, keyring } = cluster;
  const [config, keys] = await Promise.all([
    read(cluster, configFile),
    keyring === undefined ? undefined : read(cluster, keyring),
  ]);
  if (keys === undefined) return { config: { cluster: config } };
  const key = keyOf(keys.toString('utf8'), cluster.user);
  if (key === undefined)
    throw new HostlerError('CLUSTER_UNUSABLE', `the keyring of the cluster ${cluster.name} has no key of its user`, {
      facts: { cluster: cluster.name },
    });
  return { config: { cluster: config }, key: { secret: Buffer.from(key) } };
}

/** The key in the section `[client.NAME]` with `key = BASE64`. */
export function keyOf(keyring: string, user: string): string | undefined {
  let section = '';
  for (const line of keyring.split('\n')) {
    const header = /^\s*\[(.*)\]\s*$/.exec(line)?.[1];
    if (header !== undefined) section = header;
    const key = /^\s*key\s*=\s*(\S+)\s*$/.exec(line)?.[1];
    if (key !== undefined && section === `client.${user}`) return key;
  }
  return undefined;
}

const NOT_THERE = {
  ENOENT: 'CLUSTER_UNUSABLE',
  ENOTDIR: 'CLUSTER_UNUSABLE',
  EISDIR: 'CLUSTER_UNUSABLE',
  ELOOP: 'CLUSTER_UNUSABLE',
} as const;

async function read(cluster: Cluster, path: string): Promise<Buffer> {
  const { name, patienceMs } = cluster;
  try {
    return await new PathLooks(patienceMs).ask(path, (at) => readFile(at));
  } catch (error) {
    if (error instanceof HostlerError) throw stalled(cluster, error);
    // Callers are not told where these files lie on this host.
    const what = `the configuration or keyring of the cluster ${name}`;
    const { reason, message, facts } = systemError(error, what, NOT_THERE);
    throw new HostlerError(reason, message, { facts: { ...facts, path: what, cluster: name }, cause: error });
  }
}
