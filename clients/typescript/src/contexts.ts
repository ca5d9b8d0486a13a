/** The file with the daemons that a user knows by name. `hostler context` writes it. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ConfigurationError } from './errors.js';

/** A daemon that is known by a name. */
export interface Context {
  readonly address: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** The folder for images on its host. */
  readonly root?: string;
}

export interface Contexts {
  /** The context that is used when none is named. */
  readonly current?: string;
  readonly contexts: ReadonlyMap<string, Context>;
}

/** Where contexts.json is. */
export function contextsPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const { XDG_CONFIG_HOME: folder, HOME: home } = env;
  const base = folder === undefined || folder === '' ? join(home ?? homedir(), '.config') : folder;
  return join(base, 'hostler', 'contexts.json');
}

/** The file's content; undefined if there is no file. Fails with ConfigurationError. */
export async function readContexts(path: string): Promise<Contexts | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new ConfigurationError(`${path} cannot be read: ${String(error)}`, { cause: error });
  }
  const wrong = (what: string, cause?: unknown) => new ConfigurationError(`${path}: ${what}`, { cause });
  const file = parse(text, wrong);
  if (!isRecord(file)) throw wrong('must be an object');
  const { current, contexts = {} } = file;
  if (current !== undefined && typeof current !== 'string') throw wrong('`current` must be a name');
  if (!isRecord(contexts)) throw wrong('`contexts` must be an object');
  const parsed = Object.entries(contexts).map(
    ([name, entry]) => [name, parseContext(entry, dirname(path), (what) => wrong(`context ${name}: ${what}`))] as const,
  );
  return { ...(current === undefined || current === '' ? {} : { current }), contexts: new Map(parsed) };
}

function parse(text: string, wrong: (what: string, cause: unknown) => Error): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(`is no JSON: ${String(error)}`, error);
  }
}

function parseContext(entry: unknown, folder: string, wrong: (what: string) => Error): Context {
  if (!isRecord(entry)) throw wrong('must be an object');
  const text = (name: string) => {
    const found = entry[name];
    if (found === undefined || found === null || found === '') return undefined;
    if (typeof found !== 'string') throw wrong(`\`${name}\` must be a text`);
    return found;
  };
  const [address, ca, cert, key, root] = ['address', 'tls_ca', 'tls_cert', 'tls_key', 'root'].map(text);
  if (address === undefined) throw wrong('`address` is missing');
  const base = { address, ...(root === undefined ? {} : { root }) };
  if (ca !== undefined && cert !== undefined && key !== undefined)
    return { ...base, tls: { ca: resolve(folder, ca), cert: resolve(folder, cert), key: resolve(folder, key) } };
  if ((ca ?? cert ?? key) !== undefined) throw wrong('`tls_ca`, `tls_cert` and `tls_key` go together');
  return base;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
