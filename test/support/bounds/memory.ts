/** What a process has held in memory at the most. */
import { readFile, writeFile } from 'node:fs/promises';

/** Counts the peak anew from here on: proc(5). */
export async function forgetPeak(pid: number | undefined): Promise<void> {
  await writeFile(`/proc/${String(pid)}/clear_refs`, '5');
}

/** In MiB, since the start of the process or `forgetPeak`. */
export async function peakMib(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
