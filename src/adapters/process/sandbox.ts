import { HostlerError } from '../../domain/model/errors.js';
import { isDeviceHandle } from '../linux/device-handle.js';
import { toolReason } from '../linux/tool-words.js';
import { FIRST_FD, fileOf, isContent, type PlainCall, type Reference, type ToolCall } from './tool-call.js';

/**
 * Where a tool finds what it was given, by the number of the descriptor: layers to read, places to
 * write, secrets.
 */
const [READ, WRITE, SECRET] = ['/l', '/w', '/s'];
/**
 * The host's network, for a tool that works with a cluster, and what says how the names of monitors
 * are looked up.
 */
const NETWORK = ['/etc/hosts', '/etc/resolv.conf', '/etc/nsswitch.conf'].flatMap((file) => [
  '--ro-bind-try',
  file,
  file,
]);

/**
 * Command lines that run a tool in bubblewrap: it sees the system's programs and libraries,
 * read-only, and what its references name, bound by handle; no network (unless it works with a
 * cluster), no other process, no file of the host's. bubblewrap closes the handles before the tool
 * starts.
 */
export class Sandbox {
  /**
   * @param asRoot as root no user namespace is made: it would map uid 0 alone, and other owners'
   * images were unreadable
   */
  constructor(
    private readonly asRoot: boolean,
    private readonly searchPath: string,
    /** The host name inside the sandbox, which says whose process it is. */
    private readonly mark: string,
  ) {}

  /** The words between bwrap and the tool. */
  words(tool: string, { references }: PlainCall, { env = {}, network }: Pick<ToolCall, 'env' | 'network'>): string[] {
    return [
      ...(this.asRoot ? ['--cap-drop', 'ALL', '--cap-add', 'CAP_DAC_OVERRIDE'] : ['--unshare-user']),
      ...['--unshare-ipc', '--unshare-pid', '--unshare-uts', '--unshare-cgroup-try'],
      ...(network === true || references.some((reference) => 'cluster' in reference) ? NETWORK : ['--unshare-net']),
      // No --new-session: the daemon has made one, and what stays in its process group can be ended
      // with it at any moment.
      ...['--hostname', this.mark, '--die-with-parent', '--clearenv', '--chdir', '/'],
      ...Object.entries({ PATH: this.searchPath, LC_ALL: 'C', ...env }).flatMap(([name, value]) => [
        '--setenv',
        name,
        value,
      ]),
      ...['--ro-bind', '/usr', '/usr', '--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'],
      // Links into /usr where the system has merged them; folders of their own elsewhere.
      ...['/bin', '/sbin', '/lib', '/lib64'].flatMap((folder) => ['--ro-bind-try', folder, folder]),
      // qemu tries on it whether there are locks of open files; without it, it opens images without
      // any lock.
      ...['--dev-bind', '/dev/null', '/dev/null'],
      ...(tool.startsWith('/usr/') ? [] : ['--ro-bind', tool, tool]),
      ...references.flatMap((reference, index) => bind(reference, FIRST_FD + index)),
      '--',
    ];
  }
}

/** The path of a reference inside. */
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
  // Only a bind of this kind lets a node be opened as a device; /dev is nobody's to rename in but
  // root's.
  if (isDeviceHandle(handle)) return ['--dev-bind', handle.path, `${'read' in reference ? READ : WRITE}/${String(fd)}`];
  return 'read' in reference ? ['--ro-bind-fd', ...at(READ)] : ['--bind-fd', ...at(WRITE)];
}

/**
 * bubblewrap resolves an open file's path, binds that path, and checks that it bound the same file:
 * a file moved in between is noticed.
 */
const MOVED = /Can't find source path|Race condition binding|No such file or directory|Not a directory/;

/** It is a file of ours at which it could not look. */
const OF_FILES = /Can't (?:stat fd|find source path|get type of source)/;

/**
 * Fails when it was bubblewrap, not the tool, that failed: with SOURCE_CHANGED when something was
 * moved under it, and as a tool does when the disk of a file did not answer.
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
