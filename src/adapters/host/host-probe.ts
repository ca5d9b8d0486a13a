import { stat } from 'node:fs/promises';
import { asAddress } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { HostProbe, HostRoot, HostTool, RootFeatures } from '../../domain/host/host-info.js';
import { systemError } from '../linux/errno.js';
import type { ProcessRunner } from '../process/process.js';
import { probeRoot } from '../paths/root-probe.js';
import type { Root } from '../paths/roots.js';
import { plainRun } from '../../domain/ports/tools.js';

const LIMITS = { wallMs: 5000 };
/** Every tool that the daemon may run, with the option that prints its version. */
const TOOLS: readonly (readonly [string, string])[] = [
  ['qemu-img', '--version'],
  ['qemu-nbd', '--version'],
  ['bwrap', '--version'],
  ['cp', '--version'],
  ['mv', '--version'],
  ['setpriv', '--version'],
  ['prlimit', '--version'],
  ['flock', '--version'],
  ['getent', '--version'],
  ['rsync', '--version'],
  ['ssh', '-V'],
  ['gzip', '--version'],
  ['tar', '--version'],
  ['xz', '--version'],
  ['zstd', '--version'],
  ['virsh', '--version'],
  ['rbd', '--version'],
  ['ceph', '--version'],
];

/** Tools that the daemon cannot work without. */
export const NEEDED_TOOLS = ['qemu-img', 'cp', 'mv', 'setpriv', 'prlimit', 'flock', 'getent'];

/** No files can be created in a root of devices. */
const NO_FILESYSTEM: RootFeatures = {
  filesystemType: '',
  reflink: false,
  directIo: false,
  hardLinks: false,
  sparse: false,
};

/** A finished or running examination of a tool or mount, with the stamp that it had. */
interface Known<T> {
  readonly stamp: string;
  readonly found: Promise<T>;
}

/**
 * Callers within this time get the same answer: searching all tools takes some 200 file system
 * calls.
 */
const TOOLS_FRESH_MS = 1000;

/**
 * Facts about this host. Results are cached as long as the tool, or the mount, is the same; callers
 * that ask at the same time share one examination.
 */
export class LocalHostProbe implements HostProbe {
  readonly #versions = new Map<string, Known<string>>();
  readonly #features = new Map<string, Known<RootFeatures>>();
  #all: { readonly tools: Promise<readonly HostTool[]>; readonly freshUntil: number } | undefined;

  constructor(
    private readonly runner: ProcessRunner,
    private readonly openRoots: readonly Root[],
    private readonly deviceRoots: readonly Root[],
    private readonly agentId: string,
  ) {}

  get roots(): readonly HostRoot[] {
    const described = (kind: HostRoot['kind'], roots: readonly Root[]) =>
      roots.map(({ path, access, trusted }) => ({
        path: asAddress(path),
        kind,
        writable: access === 'read-write',
        trusted,
      }));
    return [...described('files', this.openRoots), ...described('devices', this.deviceRoots)];
  }

  tools(): Promise<readonly HostTool[]> {
    const now = performance.now();
    if (this.#all !== undefined && now < this.#all.freshUntil) return this.#all.tools;
    const tools = Promise.all(TOOLS.map(([name, option]) => this.#tool(name, option)));
    this.#all = { tools, freshUntil: now + TOOLS_FRESH_MS };
    return tools;
  }

  async features({ path, kind }: HostRoot): Promise<RootFeatures> {
    if (kind === 'devices') return NO_FILESYSTEM;
    const root = this.openRoots.find((candidate) => candidate.path === path);
    if (root === undefined) throw new HostlerError('BUG', `${path} is no root`);
    try {
      return await root.gate.enter(
        () => this.#probe(root),
        () => Promise.resolve(),
      );
    } catch (error) {
      throw systemError(error, path);
    }
  }

  async #probe(root: Root): Promise<RootFeatures> {
    const { dev } = await root.handle.stat();
    return once(this.#features, root.path, String(dev), () => probeRoot(root, this.agentId));
  }

  async #tool(name: string, option: string): Promise<HostTool> {
    const path = await this.runner.find(name).catch((error: unknown) => {
      if (error instanceof HostlerError && error.reason === 'TOOL_MISSING') return undefined;
      throw error;
    });
    if (path === undefined) return { name };
    const { mtimeMs, ino } = await stat(path);
    const stamp = `${path} ${String(ino)} ${String(mtimeMs)}`;
    const version = await once(this.#versions, name, stamp, () => this.#version(name, option)).catch(
      (error: unknown) => {
        // A tool that is too slow now is asked for its version again later.
        if (error instanceof HostlerError && error.reason === 'TOOL_LIMIT_EXCEEDED') return undefined;
        throw error;
      },
    );
    return version === undefined ? { name, path } : { name, path, version };
  }

  async #version(tool: string, option: string): Promise<string> {
    const run = plainRun();
    const { stdout, stderr } = await this.runner.run({ tool, args: [option], trusted: true, limits: LIMITS }, run);
    // ssh prints it on standard error.
    return (stdout === '' ? stderr : stdout).split('\n')[0]?.trim() ?? '';
  }
}

/**
 * The cached value of `key` at this stamp; `find` runs once, however many callers ask. After a
 * failure the next caller tries again.
 */
function once<T>(known: Map<string, Known<T>>, key: string, stamp: string, find: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before?.stamp === stamp) return before.found;
  const found = find();
  known.set(key, { stamp, found });
  found.catch(() => {
    if (known.get(key)?.found === found) known.delete(key);
  });
  return found;
}
