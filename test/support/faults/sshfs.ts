/**
 * A filesystem whose server is a process of ours: it can be without hard links, and it can stop
 * answering.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { installed, isRoot, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { sh, tryRun } from '../shell.js';

const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

/** Mounts an empty one on a new folder until the suite ends, or skips; the pid of its server. */
export async function mountSshfs(context: Mocha.Context, scratch: Scratch, at: string): Promise<number> {
  needs(context, isRoot && existsSync('/dev/fuse'), 'needs root and /dev/fuse');
  needs(context, installed('sshfs') && existsSync(SFTP_SERVER), 'sshfs or sftp-server is not installed');
  await mkdir(at, { recursive: true });
  const [disk, command, pidFile] = [scratch.path('sshfs-disk'), scratch.path('ssh'), scratch.path('sftp.pid')];
  await mkdir(disk);
  // In place of ssh: the server's end, on this machine.
  await writeFile(command, `#!/bin/sh\necho $$ > ${pidFile}\nexec ${SFTP_SERVER}\n`, { mode: 0o755 });
  const mounted = await tryRun('sshfs', ['-o', `disable_hardlink,ssh_command=${command}`, `x:${disk}`, at]);
  needs(context, mounted.code === 0, `sshfs cannot be mounted here: ${mounted.stderr.trim()}`);
  scratch.onEnd(() => sh('umount', at));
  return Number(await sh('cat', pidFile));
}
