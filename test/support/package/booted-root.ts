/** A clean Debian 12 in namespaces of its own, with systemd as its init or with none. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT_FOLDER } from '../daemon.js';
import { tryRun, type Ended } from '../shell.js';

const SEARCH_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** Commands run in it as root, without a network. */
export class BootedRoot {
  private constructor(
    readonly folder: string,
    private readonly boot: ChildProcess,
    private readonly pid: string,
  ) {}

  /** Fails with what was said on standard error where it does not boot. */
  static async start(folder: string, init: 'systemd' | 'none' = 'systemd'): Promise<BootedRoot> {
    const words = [...(init === 'systemd' ? [] : ['--without-systemd']), folder];
    const boot = spawn(join(ROOT_FOLDER, 'scripts/package/boot.sh'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    boot.stderr.on('data', (data: Buffer) => (complaints += data.toString()));
    for await (const line of createInterface(boot.stdout)) return new BootedRoot(folder, boot, line);
    throw new Error(`a Debian does not boot in namespaces here: ${complaints.trim()}`);
  }

  async stop(): Promise<void> {
    const ended = once(this.boot, 'exit');
    this.boot.kill('SIGTERM');
    await ended;
  }

  /** Copies a file into /root of it; its path there. */
  async give(file: string): Promise<string> {
    const inside = `/root/${basename(file)}`;
    await copyFile(file, join(this.folder, inside));
    return inside;
  }

  /** A command of the shell, however it ends. */
  try(command: string): Promise<Ended> {
    const inside = ['env', '-i', '-C', '/', `PATH=${SEARCH_PATH}`, 'HOME=/root', 'LC_ALL=C.UTF-8'];
    const apt = 'DEBIAN_FRONTEND=noninteractive';
    return tryRun('nsenter', ['--all', '--target', this.pid, ...inside, apt, 'bash', '-c', command]);
  }

  /** The standard output of a command that must succeed. */
  async run(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.try(command);
    assert.equal(code, 0, `${command}\n${stdout}${stderr}`);
    return stdout.trim();
  }

  /** Does the demo with the programs of the package. */
  async demo(): Promise<void> {
    const scripts = join(this.folder, 'usr/lib/hostler/scripts');
    await mkdir(scripts);
    await copyFile(join(ROOT_FOLDER, 'scripts/demo.sh'), join(scripts, 'demo.sh'));
    await chmod(join(scripts, 'demo.sh'), 0o755);
    assert.match(await this.run('/usr/lib/hostler/scripts/demo.sh'), /DEMO OK/);
    await rm(scripts, { recursive: true });
  }

  /** What systemd says of a property of the daemon's unit. */
  async property(name: string): Promise<string> {
    return this.run(`systemctl show hostlerd --property ${name} --value`);
  }
}
