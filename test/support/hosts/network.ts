/** Two hosts on one machine: network namespaces with a cable between them, and a real sshd. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sh, tryRun } from '../shell.js';

export const HERE = { v4: '10.99.0.1', v6: 'fd99::1' };
export const THERE = { v4: '10.99.0.2', v6: 'fd99::2' };

/** Nobody listens there: the host itself says no. */
const CLOSED_PORT = '9';

/** Two hosts, `here` and `there`, that see each other and nobody else. */
export class TwoHosts {
  private constructor(
    readonly here: string,
    readonly there: string,
  ) {}

  /** Named for this run alone: others may test at the same time. */
  static async connect(): Promise<TwoHosts> {
    const id = randomBytes(4).toString('hex');
    const hosts = new TwoHosts(`hostler-${id}-a`, `hostler-${id}-b`);
    try {
      await hosts.#connect(id);
    } catch (error) {
      await hosts.remove();
      throw error;
    }
    return hosts;
  }

  /** Words that run a program on a host. */
  on(host: string): string[] {
    return ['ip', 'netns', 'exec', host];
  }

  /** Runs a program there to its end. */
  run(host: string, program: string, ...args: string[]): Promise<string> {
    return sh('ip', 'netns', 'exec', host, program, ...args);
  }

  /** Pulls the cable: what is sent is lost, nobody is told. */
  async cut(): Promise<void> {
    await sh('ip', '-n', this.there, 'link', 'set', 'cable', 'down');
  }

  /** Resolved when the other host can be reached again. */
  async mend(): Promise<void> {
    await sh('ip', '-n', this.there, 'link', 'set', 'cable', 'up');
    await sh('ip', '-n', this.there, 'addr', 'replace', `${THERE.v6}/64`, 'dev', 'cable', 'nodad');
    // Who could not be found a moment ago is not looked for at once.
    for (const name of [this.here, this.there]) await sh('ip', '-n', name, 'neigh', 'flush', 'dev', 'cable');
    const knock = `exec 3<>/dev/tcp/${THERE.v4}/${CLOSED_PORT}`;
    const words = [...this.on(this.here).slice(1), 'timeout', '1', 'bash', '-c', knock];
    for (let tries = 0; !(await tryRun('ip', words)).stderr.includes('refused'); tries++)
      if (tries > 200) throw new Error('the cable was mended, and nobody is there');
  }

  /** What the cable has carried so far, in bytes, with the headers of all frames. */
  async crossed(): Promise<{ readonly fromHere: number; readonly toHere: number }> {
    const count = async (which: string) =>
      Number(await this.run(this.here, 'cat', `/sys/class/net/cable/statistics/${which}_bytes`));
    return { fromHere: await count('tx'), toHere: await count('rx') };
  }

  async remove(): Promise<void> {
    for (const name of [this.here, this.there]) await tryRun('ip', ['netns', 'delete', name]);
  }

  async #connect(id: string): Promise<void> {
    const [left, right] = [`hl${id}a`, `hl${id}b`];
    for (const name of [this.here, this.there]) {
      await sh('ip', 'netns', 'add', name);
      await sh('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
    await sh('ip', 'link', 'add', left, 'type', 'veth', 'peer', 'name', right);
    for (const [end, name, address] of [
      [left, this.here, HERE],
      [right, this.there, THERE],
    ] as const) {
      await sh('ip', 'link', 'set', end, 'netns', name);
      await sh('ip', '-n', name, 'link', 'set', end, 'name', 'cable');
      await sh('ip', '-n', name, 'addr', 'add', `${address.v4}/24`, 'dev', 'cable');
      await sh('ip', '-n', name, 'addr', 'add', `${address.v6}/64`, 'dev', 'cable', 'nodad');
      await sh('ip', '-n', name, 'link', 'set', 'cable', 'up');
    }
  }
}

export const SSH_PORT = 2222;
/**
 * The same host, as if its sshd forwarded nothing, or as if it had not what is in `lacking` there.
 */
export const STRICT_PORT = 2223;
export const BARE_PORT = 2224;
/**
 * Its login shell greets, without an end of the line, and with words that look like answers of
 * ours.
 */
export const GREETING_PORT = 2225;

/** A real sshd on a host, with keys of its own; `toml` is what a daemon needs to be let in. */
export async function startSshd(
  folder: string,
  hosts: TwoHosts,
  host: string,
  lacking: readonly string[] = [],
): Promise<{
  readonly toml: string;
  readonly knownHosts: string;
  readonly pid: number | undefined;
  readonly stop: () => Promise<void>;
}> {
  await mkdir(folder, { recursive: true });
  await mkdir('/run/sshd', { recursive: true });
  const [hostKey, userKey, knownHosts] = ['host_key', 'user_key', 'known_hosts'].map((name) => join(folder, name));
  for (const key of [hostKey, userKey]) await sh('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', String(key));
  const publicKey = (await sh('cat', `${String(hostKey)}.pub`)).split(' ').slice(0, 2).join(' ');
  const ports = [SSH_PORT, STRICT_PORT, BARE_PORT, GREETING_PORT].map(String);
  const names = [THERE.v4, THERE.v6].flatMap((address) => ports.map((port) => `[${address}]:${port} ${publicKey}\n`));
  await writeFile(String(knownHosts), names.join(''));
  const config = join(folder, 'sshd_config');
  await sh(
    'bash',
    '-c',
    'mkdir "$1" && ln -s /usr/bin/* "$1" && cd "$1" && rm -f -- "${@:2}"',
    'bash',
    join(folder, 'bin'),
    ...lacking,
  );
  await writeFile(
    config,
    [
      ...ports.map((port) => `Port ${port}`),
      `HostKey ${String(hostKey)}`,
      `AuthorizedKeysFile ${String(userKey)}.pub`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      `PidFile ${join(folder, 'pid')}`,
      `Match LocalPort ${String(STRICT_PORT)}`,
      'AllowStreamLocalForwarding no',
      `Match LocalPort ${String(BARE_PORT)}`,
      `SetEnv PATH=${join(folder, 'bin')}`,
      `Match LocalPort ${String(GREETING_PORT)}`,
      `ForceCommand printf 'free 0 512\\ntools\\nfile 1 1 1 x\\nmade 0 0\\nLast login: today '; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"`,
      '',
    ].join('\n'),
  );
  const words = ['netns', 'exec', host, '/usr/sbin/sshd', '-D', '-e', '-f', config];
  const child = spawn('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (let tries = 0; !said.includes(`listening on :: port ${String(SSH_PORT)}`); tries++) {
    if (tries > 4000 || child.exitCode !== null) throw new Error(`sshd does not start: ${said}`);
    await sleep(25);
  }
  const toml = `[ssh]\nuser = "root"\nidentity_file = "${String(userKey)}"\nknown_hosts_file = "${String(knownHosts)}"\nconnect_timeout_seconds = 3\ndead_line_seconds = 3\n`;
  return {
    toml,
    knownHosts: String(knownHosts),
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/**
 * What a daemon needs to copy from and to the one at the other end; both have certificates of the
 * same authority.
 */
export function agentToml(
  pki: { path(name: string): string },
  own: { readonly host: string; readonly address: string },
  other: { readonly host: string; readonly address: string },
  more: { readonly peer?: string; readonly exports?: string } = {},
): { readonly top: string; readonly toml: string } {
  return {
    top: `[tls]\nca = "${pki.path('ca.pem')}"\ncert = "${pki.path(`${own.host}.pem`)}"\nkey = "${pki.path(`${own.host}.key`)}"\n`,
    toml: [
      `[[listeners]]\naddress = "tcp://${own.address}:16520"`,
      `[[callers]]\nname = "dns:${other.host}"\nrole = "agent"\nread = ["/"]\nwrite = ["/"]`,
      `[[peers]]\nhost = "${other.host}"\naddress = "${other.address}:16520"\ntrusted = true\n${more.peer ?? ''}`,
      `[exports]\nhost = "${own.host}"\naddress = "${own.address}"\n${more.exports ?? ''}`,
      '',
    ].join('\n'),
  };
}
