/**
 * The daemons that a user has named: contexts.json. Client libraries read the same file, so its
 * fields must stay compatible.
 */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeFolder } from '../file-io/make-folder.js';
import { ownText } from '../file-io/own-text.js';
import type { TlsPaths } from '../protocol/certificate-files.js';
import { UsageError } from './failure.js';

/** A daemon in the file. */
export interface StoredContext {
  readonly address: string;
  readonly tls?: TlsPaths;
  /** The folder for images on its host: relative paths are in it. */
  readonly root?: string;
}

export interface StoredContexts {
  /** Used if no other context is named. */
  readonly current?: string;
  readonly contexts: ReadonlyMap<string, StoredContext>;
}

/** The file cannot be used; the message is for its owner. */
export class ContextsBroken extends Error {
  override readonly name = 'ContextsBroken';
}

/** Path of the file. */
export function contextsPath(): string {
  const folder = process.env['XDG_CONFIG_HOME'] ?? '';
  return join(folder === '' ? join(homedir(), '.config') : folder, 'hostler', 'contexts.json');
}

/**
 * The content of the file; empty if there is no file. Fails with ContextsBroken and system errors.
 */
export async function readContexts(): Promise<StoredContexts> {
  const path = contextsPath();
  const text = await ownText(path);
  if (text === undefined) return { contexts: new Map() };
  const broken = (what: string) => new ContextsBroken(`${path}: ${what}; correct or remove it`);
  const file = parse(text, broken);
  if (!isRecord(file)) throw broken('it is no object');
  const { current, contexts = {} } = file;
  if (current !== undefined && typeof current !== 'string') throw broken('`current` is no name');
  if (!isRecord(contexts)) throw broken('`contexts` is no object');
  const entries = Object.entries(contexts).map(
    ([name, entry]) => [name, parseContext(entry, (what) => broken(`context ${name}: ${what}`))] as const,
  );
  return { ...(current === undefined || current === '' ? {} : { current }), contexts: new Map(entries) };
}

/** The context with the name, otherwise the current one; undefined if neither is named. */
export async function findContext(name: string | undefined): Promise<StoredContext | undefined> {
  const { current, contexts } = await readContexts();
  const wanted = name ?? current;
  if (wanted === undefined) return undefined;
  const found = contexts.get(wanted);
  if (found === undefined) throw unknownContext(wanted, contexts);
  return found;
}

/** The error for a name that is not in the file. */
export function unknownContext(name: string, contexts: StoredContexts['contexts']): UsageError {
  const known = [...contexts.keys()].join(', ');
  return new UsageError(`${contextsPath()} has no context ${name}${known === '' ? '' : `, only ${known}`}`);
}

/** Replaces the file: readers see the old one or the new one. Fails with system errors. */
export async function writeContexts({ current, contexts }: StoredContexts): Promise<void> {
  const path = contextsPath();
  await makeFolder(dirname(path), 0o700);
  const stored = Object.fromEntries(
    [...contexts].map(([name, { address, tls, root }]) => [
      name,
      { address, tls_ca: tls?.ca, tls_cert: tls?.cert, tls_key: tls?.key, root },
    ]),
  );
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(fresh, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ current, contexts: stored }, undefined, 2)}\n`);
    await file.sync();
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

function parse(text: string, broken: (what: string) => ContextsBroken): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw broken(`it is no JSON: ${String(error)}`);
  }
}

function parseContext(entry: unknown, broken: (what: string) => ContextsBroken): StoredContext {
  if (!isRecord(entry)) throw broken('it is no object');
  const text = (name: string) => {
    const found = entry[name];
    if (found !== undefined && typeof found !== 'string') throw broken(`\`${name}\` is no text`);
    return found === '' ? undefined : found;
  };
  const address = text('address');
  if (address === undefined) throw broken('`address` is missing');
  const [ca, cert, key, root] = ['tls_ca', 'tls_cert', 'tls_key', 'root'].map(text);
  const context = { address, ...(root === undefined ? {} : { root }) };
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ...context, tls: { ca, cert, key } };
  if ((ca ?? cert ?? key) !== undefined) throw broken('`tls_ca`, `tls_cert` and `tls_key` go together');
  return context;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
