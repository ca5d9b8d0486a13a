import { spawn } from 'node:child_process';
import { highestInheritable, withNull } from '../../linux/inherited-fds.js';
import { FIRST_FD } from '../tool-call.js';
import type { Ended, Start } from './started.js';

/**
 * Starts a child by Node's own spawn, for hosts without posix_spawn: it copies the page tables of
 * the whole daemon, and the event loop waits until the program is loaded.
 */
export const nodeStart: Start = async (file, args, options) => {
  const child = spawnCovered(file, args, options);
  const { pid, stdin, stdout, stderr } = child;
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ exitCode: code ?? undefined, signal: signal ?? undefined });
    });
  });
  const begun = new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.on('error', reject);
  });
  await begun.catch((error: unknown) => {
    // If no descriptor was free for the streams, they are undefined.
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    throw error;
  });
  if (pid === undefined || stdout === null || stderr === null) throw new Error(`spawn ${file}: no streams`);
  return {
    pid,
    stdin: stdin ?? undefined,
    stdout,
    stderr,
    ended,
    onExit: (listener) => child.once('exit', listener),
    unref: () => child.unref(),
  };
};

/** Overrides all other descriptors that the child would inherit. */
function spawnCovered(file: string, args: readonly string[], { env, fds, stdin }: Parameters<Start>[2]) {
  const covered = Math.max(0, highestInheritable() + 1 - FIRST_FD - fds.length);
  return withNull((nothing) =>
    spawn(file, args, {
      stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe', ...fds, ...Array<number>(covered).fill(nothing)],
      env,
      detached: true,
    }),
  );
}
