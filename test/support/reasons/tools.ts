/** Folders of programs that stand for a PATH, where the real tools are missing or fail. */
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sh } from '../shell.js';

/** What a daemon starts with. */
const NEEDED = ['readlink', 'dirname', 'flock', 'setpriv', 'prlimit'];

/** A PATH with these tools of the host, and those that a daemon starts with. */
export async function onlyTools(folder: string, ...tools: readonly string[]): Promise<string> {
  await mkdir(folder);
  for (const tool of [...NEEDED, ...tools])
    await symlink((await sh('sh', '-c', `command -v ${tool}`)).trim(), join(folder, tool));
  return folder;
}

/** A PATH on which programs of these names come first: bodies of shell scripts. */
export async function fakeTools(folder: string, bodies: Readonly<Record<string, string>>): Promise<string> {
  await mkdir(folder);
  for (const [name, body] of Object.entries(bodies))
    await writeFile(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return `${folder}:${process.env['PATH'] ?? ''}`;
}
