/**
 * A daemon with five roles, images of every format, a filesystem of its own, and files around it
 * that nobody may touch.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readlink, rm, stat, symlink, truncate, writeFile, lstat, copyFile } from 'node:fs/promises';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { namesBelow } from '../support/files/names-below.js';
import { Pki } from '../support/hosts/pki.js';
import { searchLog } from '../support/secrets.js';
import { sh } from '../support/shell.js';
import { childrenOf } from '../support/soak.js';
import type { Message } from '../support/stranger.js';
import { until } from '../support/until.js';
import { Line } from './line.js';
import type { Fixture, Surroundings } from './requests.js';
import { SECRET } from './requests.js';

const ON_SOCKETS = ['admin', 'operator', 'viewer', 'tenant'];
const ROLES = [...ON_SOCKETS, 'agent'];
/** Those of one folder. */
const CONFINED = ['tenant', 'agent'];
/** Small, so that it is full now and then. */
const FILESYSTEM = 'size=256m,nr_inodes=50k';
const HUGE = 2 ** 46;
/** What eight threads that wait a minute for more work hold: five descriptors each. */
const MOST_OF_LOOPS = 40;
/**
 * Of the thread that makes the requests. Attackers are on other machines: the processor time that
 * they need is not what the daemon and its other callers wait for.
 */
const NICE_OF_ATTACKERS = 10;

const FORMATS = ['qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed', 'parallels', 'qcow'];
export const FIXTURES: readonly Fixture[] = [
  ...FORMATS.map((format) => ({ name: format, format })),
  ...['raw', 'huge', 'empty', 'link', 'odd', 'd'].map((name) => ({ name, format: 'raw' })),
  ...['qcow2', 'qcow2', 'base', 'overlay', 'snapshots'].map((name) => ({ name, format: 'qcow2' })),
];

export class World {
  #daemon: Daemon | undefined;
  readonly #lines = new Map<string, Line>();
  #canaries = '';
  #idle: Descriptors = { open: [], ofLoops: 0 };
  readonly #priority = getPriority(process.pid);

  private constructor(
    readonly folder: string,
    private readonly pki: Pki,
  ) {}

  /** Needs root and mounts. */
  static async make(folder: string): Promise<World> {
    await mkdir(folder);
    // In memory: what other programs do to the disks of this machine is not what is measured here.
    await mount(folder, 'size=2g');
    const world = new World(folder, await Pki.init(join(folder, 'pki')));
    await world.pki.issue('server', 'server', { dns: ['localhost'] });
    await world.pki.issue('agent', 'agent-b', { dns: ['agent-b'] });
    for (const name of ['pristine', 'daemon/images', 'second', 'kept', 'outside'])
      await mkdir(join(folder, name), { recursive: true });
    for (const name of ['kept', 'outside']) await writeFile(join(folder, name, 'secret'), noise(5000));
    await mount(world.images, FILESYSTEM);
    await makePristine(join(folder, 'pristine'));
    world.#canaries = await world.canaries();
    return world;
  }

  get images(): string {
    return join(this.folder, 'daemon/images');
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon');
    return this.#daemon;
  }

  /** What callers of each role know. */
  get roles(): Readonly<Record<string, Surroundings>> {
    return Object.fromEntries(
      ROLES.map((role) => [
        role,
        { home: CONFINED.includes(role) ? `${this.images}/ours` : this.images, fixtures: FIXTURES },
      ]),
    );
  }

  get second(): { readonly address: string; readonly folder: string } {
    return { address: `unix://${this.#socket('second')}`, folder: join(this.folder, 'second') };
  }

  /** A daemon that has done nothing yet; the thread that calls this gives way to it from now on. */
  async start(): Promise<void> {
    // A child has the priority of the thread that starts it.
    setPriority(process.pid, this.#priority);
    this.#daemon = await Daemon.start(join(this.folder, 'daemon'), {
      listen: ['tcp://127.0.0.1:0'],
      roots: ['daemon/images', 'second', 'kept'].map((name) => this.#root(name)).join('\n'),
      top: `iscsi_initiator_file = "${this.folder}/initiator"\nlibvirt_uri = "test:///default"\n`,
      toml: this.#toml(),
    });
    setPriority(process.pid, this.#priority + NICE_OF_ATTACKERS);
    for (const role of ON_SOCKETS) this.#lines.set(role, Line.toSocket(this.#socket(role)));
    const [ca, cert, key] = await Promise.all(
      ['ca.pem', 'agent-b.pem', 'agent-b.key'].map((name) => readFile(this.pki.path(name))),
    );
    const port = Number(this.daemon.tcp.split(':')[1]);
    const options = { host: '127.0.0.1', port, servername: 'localhost', ALPNProtocols: ['h2'], ca, cert, key };
    this.#lines.set('agent', new Line(() => connectTls(options)));
    await this.restore(true);
    await this.daemon.stranger.unary('HostInfoService/GetHostInfo');
    await this.daemon.stranger.unary('OperationService/ListOperations');
    // The thread and the file of an inventory are open for ten minutes after a question.
    for (const root of ['daemon/images', 'second', 'kept'])
      await this.daemon.stranger.unary('ImageService/ListImages', { path: join(this.folder, root) });
    this.#idle = descriptorsOf(this.daemon);
  }

  /** Whether it still runs. */
  get lives(): boolean {
    return this.daemon.process.exitCode === null && this.daemon.process.signalCode === null;
  }

  async stop(): Promise<void> {
    for (const line of this.#lines.values()) line.close();
    if (this.#daemon !== undefined && this.lives) await this.#daemon.stop();
  }

  /** Stops the daemon and removes everything. */
  async remove(): Promise<void> {
    await this.stop();
    for (const path of [this.images, this.folder]) await sh('umount', path);
    await rm(this.folder, { recursive: true });
  }

  address(role: string): string {
    return `unix://${this.#socket(role)}`;
  }

  line(role: string): Line {
    return this.#lines.get(role) ?? raise(`no role ${role}`);
  }

  /**
   * Puts the images back that are no longer as they were. @param all what else was made goes too
   */
  async restore(all = false): Promise<void> {
    for (const home of [this.images, join(this.images, 'ours')]) {
      if (all) await rm(home, { recursive: true, force: true }).catch(ignoreBusy);
      await mkdir(join(home, 'd/e'), { recursive: true }).catch(ignoreBusy);
      for (const name of readdirSync(join(this.folder, 'pristine')))
        await putBack(join(this.folder, 'pristine', name), join(home, name));
      for (const [name, to] of Object.entries({
        link: 'raw',
        loop: 'loop',
        out: '/etc/passwd',
        away: `${this.folder}/outside`,
      }))
        await symlink(to, join(home, name)).catch(ignoreBusy);
      await sh('sh', '-c', '[ -p "$1" ] || mkfifo "$1" || true', 'sh', join(home, 'fifo'));
    }
  }

  /** Ends all work, and waits until nothing is left of it. What does not go is said. */
  async settle(): Promise<string[]> {
    // The other caller works on, and its tools come and go: nothing left once is enough.
    let left: string[] = [];
    await until(async () => {
      await this.#cancelAll();
      left = await this.leftovers();
      return left.length === 0;
    }).catch(() => undefined);
    const found = [...left, ...this.complaints()];
    if ((await this.canaries()) !== this.#canaries) found.push('files outside were changed');
    await this.restore(true);
    return found;
  }

  /**
   * Private folders, children, descriptors, reservations and operations of the daemon, beyond those
   * at the start.
   */
  async leftovers(): Promise<string[]> {
    const { daemon } = this;
    const { filesystem } = (await daemon.stranger.unary('HostInfoService/GetFilesystemInfo', {
      path: this.images,
    })) as {
      filesystem?: { reserved_bytes?: string };
    };
    const reserved = filesystem?.reserved_bytes ?? '0';
    const opened = descriptorsOf(daemon);
    const opens = opened.open.length - this.#ownConnections();
    const idle = this.#idle;
    return [
      ...(await daemon.leftovers()).map((name) => `folder ${name}`),
      ...(await childrenOf(daemon)).map((child) => `child ${child}`),
      ...(await this.#unfinished()).map(
        ({ operation_id, method }) => `operation ${String(operation_id)} ${String(method)}`,
      ),
      ...(reserved === '0' ? [] : [`${reserved} bytes are reserved`]),
      ...(opens > idle.open.length + 2
        ? [`open: ${opened.open.filter((each) => !idle.open.includes(each)).join(' ')}`]
        : []),
      ...(opened.ofLoops > idle.ofLoops + MOST_OF_LOOPS ? [`${String(opened.ofLoops)} descriptors of threads`] : []),
    ];
  }

  /** What the log says that it never should; forgets the log. */
  complaints(): string[] {
    const { daemon } = this;
    const { log } = daemon;
    daemon.log = '';
    searchLog(this.folder, log);
    const lines = log
      .split('\n')
      .filter((line) => /"level":"error"|"reason":"BUG"|nobody caught|nobody waited/.test(line));
    return [
      ...lines.map((line) => `log: ${line.slice(0, 600)}`),
      ...log
        .split('\n')
        .flatMap((line) => (line.includes(SECRET) ? [`log shows a secret: ${line.slice(0, 600)}`] : [])),
    ];
  }

  /** A digest of what no caller may change, names and content. */
  async canaries(): Promise<string> {
    const hash = createHash('sha256');
    for (const folder of [join(this.folder, 'kept'), join(this.folder, 'outside'), '/etc'])
      for (const name of (await namesBelow(folder)).sort()) {
        const path = join(folder, name);
        const { isFile, isSymbolicLink } = await lstat(path).then((each) => ({
          isFile: each.isFile(),
          isSymbolicLink: each.isSymbolicLink(),
        }));
        hash.update(`${path}\0`);
        if (isFile) hash.update(await readFile(path));
        if (isSymbolicLink) hash.update(await readlink(path));
      }
    return hash.digest('hex');
  }

  /** Now, and the most that there ever was, in MiB. */
  memory(): { readonly now: number; readonly peak: number } {
    const text = readFileSync(`/proc/${String(this.daemon.process.pid)}/status`, 'utf8');
    const mib = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]) / 1024);
    return { now: mib('VmRSS'), peak: mib('VmHWM') };
  }

  async #unfinished(): Promise<Message[]> {
    const states = ['QUEUED', 'RUNNING', 'CANCELLING'].map((state) => `OPERATION_STATE_${state}`);
    const running = await this.#list({ states });
    const kept = await this.#list({ kept_only: true });
    return [...running, ...kept].filter(({ caller }) => !String(caller).includes('second'));
  }

  async #list(filter: Message): Promise<Message[]> {
    const answer = await this.daemon.stranger.unary('OperationService/ListOperations', { filter, page_size: 1000 });
    return (answer['operations'] as Message[] | undefined) ?? [];
  }

  async #cancelAll(): Promise<void> {
    await Promise.all(
      (await this.#unfinished()).map(({ operation_id }) =>
        // One that has just ended is what is wanted.
        this.daemon.stranger.unary('OperationService/CancelOperation', { operation_id }).catch(() => undefined),
      ),
    );
  }

  /** Of the lines that are open now, on the daemon's side. */
  #ownConnections(): number {
    return [...this.#lines.values()].filter((line) => line.isOpen).length + 1;
  }

  #root(name: string): string {
    return `[[roots]]\npath = "${join(this.folder, name)}"\n${name === 'kept' ? 'access = "read-only"\n' : ''}`;
  }

  #socket(role: string): string {
    return join(this.folder, 'daemon', `${role}.sock`);
  }

  #toml(): string {
    const ours = `["${this.images}/ours"]`;
    const places = `read = ${ours}\nwrite = ${ours}`;
    return [
      ...ON_SOCKETS.map((role) => `[[listeners]]\naddress = "unix://${this.#socket(role)}"\nrole = "${role}"`),
      `[[listeners]]\naddress = "unix://${this.#socket('second')}"\nrole = "operator"`,
      `[roles.tenant]\nservices = ["ImageService", "HostInfoService", "FileService", "OperationService", "CommandService"]`,
      `commands = ["echo"]\n${places}`,
      `[[callers]]\nname = "dns:agent-b"\nrole = "agent"\n${places}`,
      this.pki.toml(),
      `[[commands]]\nname = "echo"\nexecutable = "/bin/echo"\narguments = ["[a-z]*"]`,
      `[fetch]\nattempts = 1\nbackoff_ms = 1\nconnect_seconds = 1\n[ssh]\nconnect_timeout_seconds = 1\n[cache]\nmax_bytes = 67108864`,
      `[exports]\nhost = "hv1.example"\naddress = "127.0.0.1"\nports = "16530-16593"`,
      `[[peers]]\nhost = "hv2.example"\naddress = "127.0.0.1:1"\n[pulls]\npatience_seconds = 1`,
      `[audit]\nfile = "${this.folder}/audit.log"\n`,
    ].join('\n');
  }
}

interface Descriptors {
  /** What each one of a file, a folder or a socket leads to. */
  readonly open: readonly string[];
  /** How many threads wait by: polls, rings, events and pipes. */
  readonly ofLoops: number;
}

function descriptorsOf(daemon: Daemon): Descriptors {
  const folder = `/proc/${String(daemon.process.pid)}/fd`;
  const all = readdirSync(folder).flatMap((each) => {
    try {
      return [readlinkSync(join(folder, each))];
    } catch {
      // Closed since the list was read.
      return [];
    }
  });
  const open = all.filter((each) => !/^(?:anon_inode|pipe):/.test(each));
  return { open, ofLoops: all.length - open.length };
}

const mount = (path: string, options: string) => sh('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path);

async function makePristine(folder: string): Promise<void> {
  const path = (name: string) => join(folder, name);
  await writeFile(path('raw'), noise(1 << 20));
  await writeFile(path('odd'), noise(70_001));
  await writeFile(path('empty'), '');
  await writeFile(path('huge'), '');
  await truncate(path('huge'), HUGE);
  for (const format of FORMATS) {
    await sh('qemu-img', 'create', '-q', '-f', format, path(format), '4M');
    // Some data, where the tool can write it.
    await sh('qemu-io', '-f', format, '-c', 'write -P 7 0 64k', path(format)).catch(() => undefined);
  }
  for (const name of ['base', 'snapshots']) await copyFile(path('qcow2'), path(name));
  for (const name of ['one', 'three']) await sh('qemu-img', 'snapshot', '-c', name, path('snapshots'));
  await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-b', 'base', '-F', 'qcow2', path('overlay'), '4M');
}

/** Whatever a caller has made of it meanwhile. */
async function putBack(from: string, to: string): Promise<void> {
  const [wanted, there] = await Promise.all([stat(from), lstat(to).catch(() => undefined)]);
  if (there?.isFile() === true && there.size === wanted.size && there.mtimeMs === wanted.mtimeMs) return;
  await rm(to, { recursive: true, force: true }).catch(ignoreBusy);
  await sh('cp', '-p', '--sparse=always', from, to).catch(ignoreBusy);
}

/** Calls go on meanwhile: what cannot be put back now is put back the next time. */
function ignoreBusy(): void {
  return undefined;
}

function raise(text: string): never {
  throw new Error(text);
}
