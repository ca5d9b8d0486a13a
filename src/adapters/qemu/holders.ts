import { readdir, readlink } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import type { FileRef } from '../../domain/ports/handles.js';

/**
 * A process, other than this one, that has the file open. qemu's locks belong to open files, so
 * /proc/locks names no process for them. Links in /proc are read, never followed: they may lead to
 * a filesystem that does not answer.
 */
export async function holderOf({ handle, name }: FileRef): Promise<number | undefined> {
  const own = await readlink(`/proc/self/fd/${String(handle.fd)}`);
  const path = name === undefined ? own : `${own === '/' ? '' : own}/${name}`;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    if (await hasOpen(`/proc/${pid}/fd`, path)) return Number(pid);
  }
  return undefined;
}

async function hasOpen(folder: string, path: string): Promise<boolean> {
  try {
    const links = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`)));
    return links.includes(path);
  } catch (error) {
    // The process ended, closed a descriptor, or may not be examined.
    if (['ENOENT', 'EACCES', 'EPERM', 'ESRCH'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}
