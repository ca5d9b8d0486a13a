import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * qemu-img measures how fast it hashes for LUKS, and gives up where the kernel has counted no time.
 */
const AGAIN = /Unable to get accurate CPU usage/;

/** Runs a program to its end; its standard output. Throws when it fails. */
export async function sh(program: string, ...args: readonly string[]): Promise<string> {
  for (let tries = 1; ; tries++)
    try {
      const { stdout } = await run(program, [...args], { maxBuffer: 64 * 1024 * 1024 });
      return stdout;
    } catch (error) {
      if (tries === 5 || !AGAIN.test(String(error))) throw error;
    }
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end, however it ends; sends it a signal when it has said something.
 * Fails where it cannot be started.
 */
export async function tryRun(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; signalWhen?: { says: RegExp; signal: NodeJS.Signals } } = {},
): Promise<Ended> {
  const child = spawn(program, [...args], { env: { ...process.env, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  let awaited = options.signalWhen;
  const signalWhenSaid = () => {
    if (awaited?.says.test(stdout + stderr) !== true) return;
    child.kill(awaited.signal);
    awaited = undefined;
  };
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    signalWhenSaid();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    signalWhenSaid();
  });
  // A program that reads nothing may have ended already.
  child.stdin.on('error', (error: NodeJS.ErrnoException) => assert.equal(error.code, 'EPIPE'));
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  return { code, stdout, stderr };
}
