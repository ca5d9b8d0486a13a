/**
 * The checks of `hostlerd --check-config`: everything that would prevent the start, without
 * changing anything.
 */
import { constants, type Stats } from 'node:fs';
import { access, lstat, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError, type Config } from '../adapters/config/config.js';
import { PathLooks } from '../adapters/gates/path-looks.js';
import { takenTwice } from './check-taken.js';
import { authoritiesOf } from './fetching.js';
import { certificatesOf, listenersOf } from './callers.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { NEEDED_TOOLS } from '../adapters/host/host-probe.js';
import { createLog } from '../adapters/telemetry/log.js';
import { HostlerError } from '../domain/model/errors.js';
import { whyRefused } from '../domain/model/own-files.js';
import { TlsFilesBroken } from '../protocol/certificate-files.js';

/** What is wrong with a place; undefined: nothing. Fails with system errors. */
type Look = (path: string) => Promise<string | undefined>;

interface Place {
  readonly what: string;
  readonly path: string;
  readonly look: Look;
}

/**
 * Every problem on its own line; empty: the daemon would start. A place that does not answer is a
 * problem: the start would wait for it.
 */
export async function problemsOf(config: Config, runner: ProcessRunner): Promise<readonly string[]> {
  const { limits, tls } = config;
  const looks = new PathLooks(limits.root_patience_ms);
  const found = [
    ...placesOf(config).map(({ what, path, look }) =>
      looks.ask(path, look).catch((error: unknown) => {
        if (error instanceof HostlerError) return `${what}: ${error.message}; a start would wait for it`;
        throw error;
      }),
    ),
    ...(tls === undefined ? [] : [certificates(config, looks)]),
    fetchAuthorities(config),
    owners(config, runner),
    ...NEEDED_TOOLS.map((tool) => missingTool(tool, runner)),
  ];
  const problems = await Promise.all(found);
  return [...problems.filter((problem) => problem !== undefined), ...(await takenTwice(config, runner, looks))];
}

function placesOf({ audit, cache, commands, roots, state_dir: state, ...config }: Config): readonly Place[] {
  const place = (what: string, path: string, look: (what: string, path: string) => ReturnType<Look>) => ({
    what,
    path,
    look: (at: string) => look(what, at),
  });
  return [
    ...roots.map(({ path }) => place(`the root ${path}`, path, folder)),
    place('the state folder', state, folderToBe),
    ...(cache.path === undefined ? [] : [place('the cache folder', cache.path, folderToBe)]),
    ...(audit.file === undefined
      ? []
      : [
          place('the folder of the audit log', dirname(audit.file), folder),
          place('the audit log', audit.file, noFolder),
        ]),
    ...sockets(config).map((path) => place('the socket', path, socket)),
    ...commands.map(({ name, executable }) => place(`the executable of command ${name}`, executable, program)),
  ];
}

async function folder(what: string, path: string): Promise<string | undefined> {
  try {
    const found = await stat(await realpath(path));
    return found.isDirectory() ? undefined : `${what}: ${path} is no folder`;
  } catch (error) {
    return `${what} cannot be opened: ${wordsOf(error)}`;
  }
}

/** An existing entry must be a file, or something that can be written like one. */
async function noFolder(what: string, path: string): Promise<string | undefined> {
  const found = await thereAt(path);
  return found?.isDirectory() === true ? `${what}: ${path} is a folder` : undefined;
}

/** Only a socket of an earlier start may be replaced. */
async function socket(what: string, path: string): Promise<string | undefined> {
  const found = await thereAt(path);
  return found === undefined || found.isSocket() ? undefined : `${what}: ${path} exists and is no socket`;
}

/** Undefined if nothing exists there, or if the path cannot be read. */
function thereAt(path: string): Promise<Stats | undefined> {
  // A path that cannot be read is reported as a problem of the folder.
  return lstat(path).catch(() => undefined);
}

function sockets({ server, listeners }: Pick<Config, 'server' | 'listeners'>): string[] {
  const unix = 'unix://';
  const addresses = [...server.listen, ...listeners.map(({ address }) => address)];
  return addresses.filter((address) => address.startsWith(unix)).map((address) => address.slice(unix.length));
}

/**
 * The folder is created at the first start, so the existing part of its path must be a writable
 * folder.
 */
async function folderToBe(what: string, path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return `${what}: ${path} is no folder`;
    await access(path, constants.W_OK);
    return undefined;
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return isMissing && path !== '/' ? folderToBe(what, dirname(path)) : `${what} cannot be made: ${wordsOf(error)}`;
  }
}

async function program(what: string, path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return `${what} cannot be run: ${wordsOf(error)}`;
  }
}

async function certificates(config: Config, looks: PathLooks): Promise<string | undefined> {
  try {
    const path = config.tls?.cert ?? '/';
    await looks.ask(path, async () => (await certificatesOf(config, createLog('error')))?.close());
    return undefined;
  } catch (error) {
    if (error instanceof TlsFilesBroken || error instanceof ConfigError || error instanceof HostlerError)
      return error.message;
    throw error;
  }
}

/** Checks the users and groups of sockets. */
async function owners(config: Config, runner: ProcessRunner): Promise<string | undefined> {
  try {
    await listenersOf(config, runner);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

async function missingTool(tool: string, runner: ProcessRunner): Promise<string | undefined> {
  try {
    await runner.find(tool);
    return undefined;
  } catch (error) {
    if (error instanceof HostlerError && error.reason === 'TOOL_MISSING')
      return `the tool ${tool} is not in PATH, and no operation works without it`;
    throw error;
  }
}

function fetchAuthorities({ fetch }: Config): Promise<string | undefined> {
  try {
    authoritiesOf(fetch);
    return Promise.resolve(undefined);
  } catch (error) {
    if (error instanceof ConfigError) return Promise.resolve(error.message);
    throw error;
  }
}

function wordsOf(error: unknown): string {
  return whyRefused(error) ?? String(error);
}
