import { HostlerError } from '../../domain/model/errors.js';
import { isDeviceHandle } from '../linux/device-handle.js';
import { toolReason } from '../linux/tool-words.js';
import { FIRST_FD, fileOf, isContent, type PlainCall, type Reference, type ToolCall } from './tool-call.js';

/**
 * Paths inside the sandbox, followed by the descriptor number: layers to read, files to write,
 * secrets.
 */
const [READ, WRITE, SECRET] = ['/l', '/w', '/s'];
/**
 * Files for a tool that uses the network of the host for a cluster: they define how the names of
 * monitors are resolved.
 */
const NETWORK = ['/etc/hosts', '/etc/resolv.conf', '/etc/nsswitch.conf'].flatMap((file) => [
  '--ro-bind-try',
  file,
  file,
]);

/**
 * Command lines that run a tool in bubblewrap. The tool sees the system's programs and libraries,
 * read-only, and the files of its references, bound by handle; no network (unless it works with a
 * cluster), no other process, no other file of the host. bubblewrap closes the handles before the
 * tool starts.
 */
export class Sandbox {
  /**
   * @param asRoot root gets no user namespace: it would map uid 0 alone, and images of other owners
   * would be unreadable
   */
  constructor(
    private readonly asRoot: boolean,
    private readonly searchPath: string,
    /** The host name inside the sandbox, which identifies the daemon of a process. */
    private readonly mark: string,
  ) {}

  /** The words between bwrap and the tool. */
  words(tool: string, { references }: PlainCall, { env = {}, network }: Pick<ToolCall, 'env' | 'network'>): string[] {
    return [
      ...(this.asRoot ? ['--cap-drop', 'ALL', '--cap-add', 'CAP_DAC_OVERRIDE'] : ['--unshare-user']),
      ...['--unshare-ipc', '--unshare-pid', '--unshare-uts', '--unshare-cgroup-try'],
      ...(network === true || references.some((reference) => 'cluster' in reference) ? NETWORK : ['--unshare-net']),
      // No --new-session: the daemon has already created a session, and processes that stay in its
      // group can be killed with it at any time.
      ...['--hostname', this.mark, '--die-with-parent', '--clearenv', '--chdir', '/'],
      ...Object.entries({ PATH: this.searchPath, LC_ALL: 'C', ...env }).flatMap(([name, value]) => [
        '--setenv',
        name,
        value,
      ]),
      ...['--ro-bind', '/usr', '/usr', '--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
      // Links into /usr on merged systems; separate folders elsewhere.
      ...['/bin', '/sbin', '/lib', '/lib64'].flatMap((folder) => ['--ro-bind-try', folder, folder]),
      // qemu uses /dev/null to test for open file description locks; without it, qemu opens images
      // without locks.
      ...['--dev-bind', '/dev/null', '/dev/null'],
      ...(tool.startsWith('/usr/') ? [] : ['--ro-bind', tool, tool]),
      ...references.flatMap((reference, index) => bind(reference, FIRST_FD + index)),
      '--',
    ];
  }
}

/** The path of a reference inside the sandbox. */
export function pathInside(reference: Reference, fd: number): string {
  if ('descriptor' in reference) throw new Error('a descriptor of the daemon does not go into the sandbox');
  if (isContent(reference)) return `${SECRET}/${String(fd)}`;
  const { name } = fileOf(reference);
  return `${'read' in reference ? READ : WRITE}/${String(fd)}${name === undefined ? '' : `/${name}`}`;
}

function bind(reference: Reference, fd: number): string[] {
  const at = (folder: string) => [String(fd), `${folder}/${String(fd)}`];
  if (isContent(reference)) {
    const [from = '', to = ''] = at(SECRET);
    const within = 'secret' in reference && reference.within !== undefined ? `/${reference.within}` : '';
    return ['--ro-bind-data', from, `${to}${within}`];
  }
  if ('descriptor' in reference) throw new Error('a descriptor of the daemon does not go into the sandbox');
  const { handle } = fileOf(reference);
  // Only a bind of this kind allows a device node to be opened; only root can rename entries in
  // /dev.
  if (isDeviceHandle(handle)) return ['--dev-bind', handle.path, `${'read' in reference ? READ : WRITE}/${String(fd)}`];
  return 'read' in reference ? ['--ro-bind-fd', ...at(READ)] : ['--bind-fd', ...at(WRITE)];
}

/**
 * Messages of bubblewrap when a file was moved: it resolves the path of the open file, binds that
 * path, and checks that it bound the same file.
 */
const MOVED = /Can't find source path|Race condition binding|No such file or directory|Not a directory/;

/** Messages of bubblewrap about a file of a reference that it could not stat. */
const OF_FILES = /Can't (?:stat fd|find source path|get type of source)/;

/**
 * Fails if bubblewrap itself failed, not the tool: with SOURCE_CHANGED if a file was moved in the
 * meantime, and as a tool does if the disk of a file did not answer.
 */
export function assertSandboxed(tool: string, stderr: string): void {
  if (!stderr.startsWith('bwrap: ')) return;
  const facts = { tool, stderr };
  const reason = OF_FILES.test(stderr) ? toolReason(stderr) : undefined;
  if (reason !== undefined)
    throw new HostlerError(reason, `a file could not be looked at while ${tool} was started: ${stderr}`, { facts });
  if (MOVED.test(stderr))
    throw new HostlerError('SOURCE_CHANGED', `a folder was moved while ${tool} was started`, { facts });
  throw new HostlerError('SANDBOX_UNAVAILABLE', `the sandbox for ${tool} could not be made: ${stderr}`, { facts });
}
