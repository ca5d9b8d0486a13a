/** A crash of the agent, for cases that look at what comes after. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHostInfo } from '../agent/host-rpcs.js';
import type { World } from './world.js';

const PATIENCE_MS = 60_000;
const PAUSE_MS = 50;
const ANSWER_MS = 5000;

/** Runs the command, and waits until the agent answers again. */
export async function restart({ restartCommand, agent }: World): Promise<void> {
  if (restartCommand === undefined) throw new Error('there is no --restart-command');
  const child = spawn('sh', ['-c', restartCommand], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the --restart-command ended with code ${String(code)}`);
  const end = Date.now() + PATIENCE_MS;
  for (;;)
    try {
      await agent.ask(getHostInfo, {}, ANSWER_MS);
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(PAUSE_MS);
    }
}
