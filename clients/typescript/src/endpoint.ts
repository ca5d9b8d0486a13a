/** Where the daemon is, and how this client proves who it is. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { contextsPath, readContexts, type Context } from './contexts.js';
import { ConfigurationError } from './errors.js';

/** The socket of a daemon whose configuration names none. */
export const DEFAULT_ADDRESS = 'unix:///run/hostler/hostler.sock';

const MAX_PORT = 65_535;

export interface TlsFiles {
  /** PEM: the authority of the daemon. */
  readonly ca: string;
  /** PEM: the own certificate. */
  readonly cert: string;
  /** PEM: its key. */
  readonly key: string;
}

/** Arguments that say where the daemon is. Each wins over the environment and the contexts. */
export interface EndpointOptions {
  /** `unix:///PATH` or `tcp://HOST:PORT`. */
  readonly address?: string;
  /** Paths of the files for mutual TLS. */
  readonly tls?: TlsFiles;
  /** The name of an entry of contexts.json; not together with `address`. */
  readonly context?: string;
  /** Variables of the environment; unset: those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

interface TlsContent {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A daemon's address, parsed, with the content of the TLS files. */
export type Endpoint = {
  /** As it was given. */
  readonly address: string;
  /** The folder for images that the context names. */
  readonly root?: string;
} & (
  | { readonly kind: 'unix'; readonly path: string; readonly tls?: undefined }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** HOST:PORT, an IPv6 address in brackets. */
      readonly authority: string;
      readonly tls?: TlsContent;
    }
);

/**
 * The endpoint by arguments, else by HOSTLER_ADDRESS and HOSTLER_TLS_CA, _CERT and _KEY, else by a
 * context (HOSTLER_CONTEXT, or the current one), else the default socket. A context is used as a
 * whole: it brings its own TLS files. Fails with ConfigurationError.
 */
export async function findEndpoint(options: EndpointOptions = {}): Promise<Endpoint> {
  const env = options.env ?? process.env;
  if (options.address !== undefined && options.context !== undefined)
    throw new ConfigurationError('give an address or a context, not both');
  const address = options.address ?? (options.context === undefined ? value(env, 'HOSTLER_ADDRESS') : undefined);
  if (address !== undefined) {
    // A program that names a socket does not mean the TLS files of another address.
    const own = options.address?.startsWith('unix:') === true;
    return open(address, options.tls ?? (own ? undefined : tlsOfEnvironment(env)));
  }
  const context = await findContext(options.context ?? value(env, 'HOSTLER_CONTEXT'), env);
  if (context === undefined) return open(DEFAULT_ADDRESS, options.tls);
  const endpoint = await open(context.address, options.tls ?? context.tls);
  return context.root === undefined ? endpoint : { ...endpoint, root: context.root };
}

async function findContext(
  name: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Context | undefined> {
  const path = contextsPath(env);
  const file = await readContexts(path);
  const wanted = name ?? file?.current;
  if (wanted === undefined) return undefined;
  const found = file?.contexts.get(wanted);
  if (found !== undefined) return found;
  const known = [...(file?.contexts.keys() ?? [])].join(', ');
  throw new ConfigurationError(`${path} has no context ${wanted}${known === '' ? '' : `, only ${known}`}`);
}

function tlsOfEnvironment(env: Readonly<Record<string, string | undefined>>): TlsFiles | undefined {
  const names = ['HOSTLER_TLS_CA', 'HOSTLER_TLS_CERT', 'HOSTLER_TLS_KEY'] as const;
  const [ca, cert, key] = names.map((name) => value(env, name));
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  const missing = names.filter((name) => value(env, name) === undefined);
  if (missing.length === names.length) return undefined;
  throw new ConfigurationError(`${names.join(', ')} go together: ${missing.join(' and ')} is not set`);
}

/** A variable; an empty one counts as unset. */
function value(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const found = env[name];
  return found === '' ? undefined : found;
}

async function open(address: string, tls: TlsFiles | undefined): Promise<Endpoint> {
  const [, path] = /^unix:\/\/(\/.+)$/s.exec(address) ?? [];
  if (path !== undefined) {
    if (tls !== undefined) throw new ConfigurationError(`${address}: unix sockets do not speak TLS`);
    return { address, kind: 'unix', path };
  }
  const [, authority = '', bracketed, plain, digits] =
    /^(?:tcp:\/\/)?((?:\[([^\]/]+)\]|([^/:[\]]+)):(\d{1,5}))$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port > 0 && port <= MAX_PORT))
    throw new ConfigurationError(`the address ${address} is neither unix:///PATH nor tcp://HOST:PORT`);
  const endpoint = { address, kind: 'tcp', host, port, authority } as const;
  return tls === undefined ? endpoint : { ...endpoint, tls: await readTls(tls) };
}

async function readTls({ ca, cert, key }: TlsFiles): Promise<TlsContent> {
  return {
    ca: await readPem(ca, 'authority'),
    cert: await readPem(cert, 'certificate'),
    key: await readPem(key, 'key'),
  };
}

async function readPem(path: string, what: string): Promise<string> {
  const content = await readFile(resolve(path), 'utf8').catch((error: unknown) => {
    throw new ConfigurationError(`the TLS ${what} ${path} cannot be read: ${String(error)}`, { cause: error });
  });
  if (!content.includes('-----BEGIN ')) throw new ConfigurationError(`the TLS ${what} ${path} is not in PEM`);
  return content;
}
