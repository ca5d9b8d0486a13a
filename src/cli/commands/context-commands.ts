import { resolve } from 'node:path';
import { Command } from 'commander';
import { parseAddress } from '../connection.js';
import type { Context } from '../context.js';
import {
  contextsPath,
  readContexts,
  unknownContext,
  writeContexts,
  type StoredContext,
  type StoredContexts,
} from '../contexts.js';
import { UsageError } from '../failure.js';
import { table } from '../text.js';

/** `hostler context …`: daemons by name, without a daemon. */
export function contextCommands(context: Context): Command[] {
  return [add(context), list(context), use(context), remove(context)];
}

function add(context: Context): Command {
  return new Command('add')
    .description('store --address and the --tls files under a name; the first one becomes the current one')
    .argument('<name>')
    .option('--root <folder>', 'the folder for images on its host: paths that begin with neither / nor . are in it')
    .action(async (name: string, { root }: { root?: string }) => {
      if (!/^[A-Za-z0-9][\w.-]{0,63}$/.test(name))
        throw new UsageError(`${name}: at most 64 letters, digits, dots, dashes and underscores`);
      const { address, tls } = context.arguments;
      if (address === undefined) throw new UsageError('context add needs --address');
      parseAddress(address, tls);
      if (root !== undefined && !root.startsWith('/'))
        throw new UsageError(`--root ${root}: must be the absolute path of a folder on the host of the daemon`);
      const { current = name, contexts } = await readContexts();
      if (contexts.has(name)) throw new UsageError(`there is a context ${name}; remove it with context rm`);
      const added: StoredContext = {
        address,
        ...(tls === undefined ? {} : { tls: { ca: resolve(tls.ca), cert: resolve(tls.cert), key: resolve(tls.key) } }),
        ...(root === undefined ? {} : { root }),
      };
      await writeContexts({ current, contexts: new Map([...contexts, [name, added]]) });
      context.printObject({ name, current: current === name }, current === name ? `${name} is used now` : name);
    });
}

function list(context: Context): Command {
  return new Command('ls').description('the contexts; the current one has a star').action(async () => {
    const { current, contexts } = await readContexts();
    const rows = [...contexts].map(([name, { address, root = '' }]) => [
      name === current ? '*' : '',
      name,
      address,
      root,
    ]);
    const text = rows.length === 0 ? `no contexts in ${contextsPath()}` : table(['', 'name', 'address', 'root'], rows);
    context.printObject({ current, contexts: [...contexts].map(([name, entry]) => ({ name, ...flat(entry) })) }, text);
  });
}

function flat({ address, tls, root }: StoredContext): object {
  return { address, tlsCa: tls?.ca, tlsCert: tls?.cert, tlsKey: tls?.key, root };
}

function use(context: Context): Command {
  return new Command('use')
    .description('make a context the current one: every command uses it that names no other daemon')
    .argument('<name>')
    .action(async (name: string) => {
      const { contexts } = await known(name);
      await writeContexts({ current: name, contexts });
      context.printObject({ name, current: true }, `${name} is used now`);
    });
}

function remove(context: Context): Command {
  return new Command('rm')
    .description('forget a context; its TLS files stay')
    .argument('<name>')
    .action(async (name: string) => {
      const { current, contexts } = await known(name);
      const left = new Map([...contexts].filter(([each]) => each !== name));
      await writeContexts({ ...(current === undefined || current === name ? {} : { current }), contexts: left });
      const text = current === name ? `${name} was the current one; choose another with context use` : name;
      context.printObject({ name, current: current === name }, text);
    });
}

async function known(name: string): Promise<StoredContexts> {
  const all = await readContexts();
  if (!all.contexts.has(name)) throw unknownContext(name, all.contexts);
  return all;
}
