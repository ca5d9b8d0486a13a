import { stat } from 'node:fs/promises';
import { asAddress } from '../domain/address.js';
import { HostlerError } from '../domain/errors.js';
import type { HostProbe, HostRoot, HostTool, RootFeatures } from '../domain/host/host-info.js';
import { systemError } from './errno.js';
import type { ProcessRunner } from './process.js';
import { probeRoot } from './root-probe.js';
import type { Root } from './roots.js';

const LIMITS = { wallMs: 5000 };
/** Every tool that the daemon may run, with what makes it say its version. */
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
  ['xz', '--version'],
  ['zstd', '--version'],
  ['virsh', '--version'],
  ['rbd', '--version'],
  ['ceph', '--version'],
];

/** No file is made in a root of devices. */
const NO_FILESYSTEM: RootFeatures = {
  filesystemType: '',
  reflink: false,
  directIo: false,
  hardLinks: false,
  sparse: false,
};

interface Known {
  readonly stamp: string;
  readonly tool: HostTool;
}

/** What is on this host. What was found out is kept for as long as the tool, or the mount, is the same. */
export class LocalHostProbe implements HostProbe {
  readonly #tools = new Map<string, Known>();
  readonly #features = new Map<string, { readonly stamp: string; readonly features: RootFeatures }>();

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
    return Promise.all(TOOLS.map(([name, option]) => this.#tool(name, option)));
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
    const known = this.#features.get(root.path);
    if (known?.stamp === String(dev)) return known.features;
    const features = await probeRoot(root, this.agentId);
    this.#features.set(root.path, { stamp: String(dev), features });
    return features;
  }

  async #tool(name: string, option: string): Promise<HostTool> {
    const path = await this.runner.find(name).catch((error: unknown) => {
      if (error instanceof HostlerError && error.reason === 'TOOL_MISSING') return undefined;
      throw error;
    });
    if (path === undefined) return { name };
    const { mtimeMs, ino } = await stat(path);
    const [stamp, known] = [`${path} ${String(ino)} ${String(mtimeMs)}`, this.#tools.get(name)];
    if (known?.stamp === stamp) return known.tool;
    const tool = { name, path, version: await this.#version(name, option) };
    this.#tools.set(name, { stamp, tool });
    return tool;
  }

  async #version(tool: string, option: string): Promise<string> {
    const run = { signal: new AbortController().signal, onChild: () => undefined };
    const { stdout, stderr } = await this.runner.run({ tool, args: [option], trusted: true, limits: LIMITS }, run);
    // ssh says it on standard error.
    return (stdout === '' ? stderr : stdout).split('\n')[0]?.trim() ?? '';
  }
}
