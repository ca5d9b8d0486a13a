/** Looks at the agent before the first case. */
import { randomBytes } from 'node:crypto';
import { getHostInfo } from '../agent/host-rpcs.js';
import { connect } from '../agent/connect.js';
import type { World } from '../bench/world.js';
import { UsageError, type Options } from './options.js';

/** Fails with AccessError, UsageError (the root is none of the agent), Refusal. */
export async function meet({ access, second, root: place, restartCommand }: Options): Promise<World> {
  const run = randomBytes(4).toString('hex');
  const agent = await connect(access, run);
  const other = second === undefined ? undefined : await connect(second, run);
  const host = await agent.ask(getHostInfo, {});
  const root = host.roots.find(({ path }) => place === path || place.startsWith(`${path}/`));
  if (root === undefined) {
    const roots = host.roots.map(({ path }) => path).join(', ');
    throw new UsageError(`--root ${place} is in none of the roots of the agent: ${roots}`);
  }
  return {
    access,
    agent,
    second: other,
    host,
    root,
    restartCommand,
    run,
    folder: `${place}/hostler-conformance-${run}`,
  };
}
