import { readdir, readFile } from 'node:fs/promises';

/** Of the times that the kernel gives in ticks. */
const TICK_MS = 10;
/** Of those of a process's children in its stat, counted behind its name. */
const [CHILDREN_USER, CHILDREN_SYSTEM] = [13, 14];

/**
 * Processor time in milliseconds that a process has taken, and those of its children that have
 * ended; of the latter in steps of 10 ms.
 */
export async function processorMs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${String(pid)}/task`);
  const own = await Promise.all(threads.map((thread) => threadMs(`/proc/${String(pid)}/task/${thread}/schedstat`)));
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const children = Number(fields[CHILDREN_USER]) + Number(fields[CHILDREN_SYSTEM]);
  return own.reduce((sum, ms) => sum + ms, 0) + children * TICK_MS;
}

async function threadMs(file: string): Promise<number> {
  try {
    return Number((await readFile(file, 'utf8')).split(' ')[0]) / 1e6;
  } catch {
    return 0; // the thread has ended since it was listed
  }
}
