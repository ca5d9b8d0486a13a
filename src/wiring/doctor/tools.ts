/** Checks that the tools exist and the sandbox works. */
import { LocalHostProbe, NEEDED_TOOLS } from '../../adapters/host/host-probe.js';
import type { Config } from '../../adapters/config/config.js';
import { trySandbox } from '../../adapters/process/try-sandbox.js';
import type { ProcessRunner } from '../../adapters/process/process.js';
import type { HostTool } from '../../domain/host/host-info.js';
import { fine, note, problem, type HostFinding } from './finding.js';

/** Debian packages with the tools. */
const PACKAGES: Readonly<Record<string, string>> = {
  ...{ 'qemu-img': 'qemu-utils', 'qemu-nbd': 'qemu-utils', bwrap: 'bubblewrap', cp: 'coreutils', mv: 'coreutils' },
  ...{ setpriv: 'util-linux', prlimit: 'util-linux', flock: 'util-linux', getent: 'libc-bin' },
  ...{ rsync: 'rsync', ssh: 'openssh-client', gzip: 'gzip', tar: 'tar', xz: 'xz-utils', zstd: 'zstd' },
  ...{ virsh: 'libvirt-clients', rbd: 'ceph-common', ceph: 'ceph-common' },
};
/** What is not possible without the optional tools. */
const USES: Readonly<Record<string, string>> = {
  ...{ 'qemu-nbd': 'exports, uploads and copies between agents', bwrap: 'the sandbox' },
  ...{ rsync: 'copies by rsync', ssh: 'copies by ssh', gzip: 'fetches of .gz', tar: 'fetches out of archives' },
  ...{ xz: 'fetches of .xz', zstd: 'fetches of .zst', virsh: 'FindRootDisk', rbd: 'pools', ceph: 'pools' },
};

/** Each tool with its version. */
export async function toolFindings(config: Config, runner: ProcessRunner): Promise<HostFinding[]> {
  const needed = [
    ...NEEDED_TOOLS,
    ...(config.pools.length > 0 ? ['rbd', 'ceph'] : []),
    ...(config.libvirt_uri === undefined ? [] : ['virsh']),
    ...(config.sandbox.mode === 'require' ? ['bwrap'] : []),
  ];
  const tools = await new LocalHostProbe(runner, [], [], 'doctor').tools();
  return tools.map((tool) => toolFinding(tool, needed));
}

function toolFinding({ name, version }: HostTool, needed: readonly string[]): HostFinding {
  if (version !== undefined) return fine('tools', `${name}: ${version}`);
  const mend = `apt install ${PACKAGES[name] ?? name}`;
  if (needed.includes(name)) return problem('tools', `${name} is not in PATH, and the daemon needs it`, mend);
  return note('tools', `${name} is not in PATH: ${USES[name] ?? 'something'} cannot be done`, mend);
}

/** Whether a tool can be started in the sandbox. */
export async function sandboxFinding({ sandbox: { mode } }: Config, sandboxed: ProcessRunner): Promise<HostFinding> {
  if (mode === 'off')
    return note('sandbox', 'it is off: tools run with the rights of the daemon', 'set sandbox.mode = "require"');
  const why = await trySandbox(sandboxed);
  if (why === undefined) return fine('sandbox', 'bubblewrap starts a tool');
  const mend =
    'install bubblewrap; allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or give the container ' +
    'what docs/operate/sandbox.md names';
  return problem('sandbox', `no untrusted image can be worked on: ${why}`, mend);
}
