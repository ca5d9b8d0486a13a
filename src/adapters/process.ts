/**
 * The one door for child processes: argument array, no shell, a bare environment, own process group, ended with the daemon,
 * TERM to the group and KILL after a grace time, bounded output, always awaited.
 */
import { constants as fsConstants } from 'node:fs';
import { access } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { HostlerError, asHostlerError } from '../domain/errors.js';
import type { ToolRun } from '../domain/ports.js';
import { Complaints, isJudged } from './process/complaints.js';
import { Ender, Watchdog, limitExceeded } from './child-control.js';
import { hideInFolder, hideSecret, type HiddenSecret } from './hidden-secret.js';
import type { MemoryFolders } from './memory-folders.js';
import { LastBytes, splitLines } from './output.js';
import { assertSandboxed, pathInside, type Sandbox } from './sandbox.js';
import { startOf } from './strays.js';
import { highestInheritable, withNull } from './inherited-fds.js';
import {
  FIRST_FD,
  contentOf,
  descriptorOf,
  isContent,
  pathOutside,
  plainCall,
  type Reference,
  type ToolCall,
  type ToolLimits,
} from './tool-call.js';

/** How a child ended. */
export interface Exit {
  /** Set unless a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** The last few KiB of standard error; where its exit code says otherwise, what speaks against that code. */
  readonly stderr: string;
  /** Its exit code is an answer, and no text on standard error speaks against it. */
  readonly succeeded: boolean;
}

export interface ProcessLog {
  child(facts: Readonly<Record<string, string | number | undefined>>): void;
}

const MAX_STDERR_BYTES = 4096;
/** More than any tool's JSON; a tool that prints for ever is ended. */
const MAX_STDOUT_BYTES = 64 * 1024 * 1024;
/** What the soft limit sends; the hard one, a second later, would be a KILL like any other. */
const CPU_SIGNAL = 'SIGXCPU';
/** A shell and bubblewrap say so, plus its number, when a signal ended the tool. */
const SIGNALLED = 128;
const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** What is started, and what it inherits from descriptor 3 on. */
interface Launch {
  readonly command: readonly string[];
  readonly fds: readonly number[];
  readonly sandboxed: boolean;
}

export class ProcessRunner {
  /** Where each tool is; looked up once. */
  readonly #paths = new Map<string, string>();

  constructor(
    private readonly options: {
      readonly killGraceMs: number;
      readonly searchPath: string;
      /** Commands that run every tool, such as nice. */
      readonly prefix?: readonly (readonly string[])[];
      /** Where every tool runs that is not trusted; unset: with the daemon's own rights. */
      readonly sandbox?: Sandbox;
      /** No tool opens a stranger's image: there should be a sandbox, and it does not work. */
      readonly refuseForeign?: boolean;
      /** For secrets of tools that want them in a folder. */
      readonly folders: MemoryFolders;
      readonly log: ProcessLog;
    },
  ) {}

  /** What stands between a tool and the host. */
  get sandboxName(): string {
    return this.options.sandbox === undefined ? 'none' : 'bubblewrap';
  }

  /** Whether tools may open strangers' images. */
  get allowsForeign(): boolean {
    return this.options.refuseForeign !== true;
  }

  /** Runs to the end and returns what it printed. Any exit code is fine; limits and cancel throw. */
  async run(call: ToolCall, run: ToolRun): Promise<Exit & { readonly stdout: string }> {
    const chunks: Buffer[] = [];
    let size = 0;
    const exit = await this.#spawn(call, run, async (stdout) => {
      for await (const chunk of stdout) {
        size += chunk.length;
        if (size > MAX_STDOUT_BYTES) throw limitExceeded(call.tool, 'output', String(MAX_STDOUT_BYTES));
        chunks.push(chunk);
      }
    });
    return { ...exit, stdout: Buffer.concat(chunks).toString('utf8') };
  }

  /** Runs to the end and hands over each line, split at \n and \r, as it comes; a slow reader slows the tool. */
  lines(call: ToolCall, run: ToolRun, onLine: (line: string) => void | Promise<void>): Promise<Exit> {
    return this.#spawn(call, run, async (stdout) => {
      for await (const line of splitLines(stdout)) await onLine(line);
    });
  }

  /** Runs to the end and hands over what comes on either stream, as it comes; a slow reader slows the tool. */
  pieces(
    call: ToolCall,
    run: ToolRun,
    onPiece: (stream: 'stdout' | 'stderr', piece: Buffer) => Promise<void>,
  ): Promise<Exit> {
    const hand = async (stream: 'stdout' | 'stderr', source: AsyncIterable<Buffer>) => {
      for await (const piece of source) await onPiece(stream, piece);
    };
    return this.#spawn(
      call,
      run,
      (stdout) => hand('stdout', stdout),
      (stderr) => hand('stderr', stderr),
    );
  }

  /** The tool's absolute path. Fails with TOOL_MISSING. */
  async find(tool: string): Promise<string> {
    const known = this.#paths.get(tool);
    if (known !== undefined) return known;
    const folders = tool.startsWith('/') ? ['/'] : this.options.searchPath.split(delimiter);
    for (const folder of folders) {
      const path = join(folder, tool);
      if (
        await access(path, fsConstants.X_OK).then(
          () => true,
          () => false,
        )
      ) {
        this.#paths.set(tool, path);
        return path;
      }
    }
    throw new HostlerError('TOOL_MISSING', `${tool} is not installed`, { facts: { tool } });
  }

  async #spawn(call: ToolCall, run: ToolRun, consume: Consumer, consumeErrors?: Consumer): Promise<Exit> {
    const sandbox = call.trusted === true ? undefined : this.options.sandbox;
    if (call.foreign === true && this.options.refuseForeign === true)
      throw new HostlerError('SANDBOX_UNAVAILABLE', `${call.tool} opens no stranger's image without a sandbox`, {
        facts: { tool: call.tool },
      });
    const plain = plainCall(call, sandbox === undefined ? pathOutside : pathInside);
    const { references } = plain;
    const tool = await this.find(call.tool);
    const command = [
      await this.find('setpriv'),
      '--pdeathsig',
      'KILL',
      ...identityWords(call.as),
      '--',
      ...(this.options.prefix ?? []).flat(),
      ...(await this.#limited(call.limits)),
      ...(sandbox === undefined ? [] : [await this.find('bwrap'), ...sandbox.words(tool, plain, call)]),
      tool,
      ...plain.args,
    ];
    const secrets = new Map<Reference, HiddenSecret>();
    try {
      for (const reference of references)
        if (isContent(reference)) {
          const within = 'secret' in reference && sandbox === undefined ? reference.within : undefined;
          const [content, { folders }] = [contentOf(reference), this.options];
          secrets.set(
            reference,
            await (within === undefined ? hideSecret(content) : hideInFolder(content, within, folders)),
          );
        }
      const fds = references.map((reference) =>
        isContent(reference) ? (secrets.get(reference)?.fd ?? -1) : descriptorOf(reference),
      );
      const launch = { command, fds, sandboxed: sandbox !== undefined };
      return await this.#supervise(call, launch, run, consume, consumeErrors);
    } finally {
      for (const secret of secrets.values()) await secret.close();
    }
  }

  async #supervise(
    call: ToolCall,
    { command, fds, sandboxed }: Launch,
    run: ToolRun,
    consume: Consumer,
    consumeErrors?: Consumer,
  ): Promise<Exit> {
    // In the same moment as the listener below: a cancel that came while the command was put together counts too.
    run.signal.throwIfAborted();
    const started = performance.now();
    const child = this.#start(command, fds, call);
    const stderr = new LastBytes(MAX_STDERR_BYTES);
    const complaints = isJudged(call) ? new Complaints(call, MAX_STDERR_BYTES) : undefined;
    const ender = new Ender(child.pid, this.options.killGraceMs);
    const watchdog = new Watchdog(call, (error) => ender.end(error));
    const onAbort = () => ender.end(asHostlerError(run.signal.reason));
    run.signal.addEventListener('abort', onAbort, { once: true });
    run.onChild(child.pid === undefined ? undefined : { pid: child.pid, start: startOf(child.pid) ?? '' });
    try {
      // What the tool left behind in its group must not keep our pipes open.
      child.once('exit', () => ender.sweep());
      child.stderr.on('data', (chunk: Buffer) => {
        stderr.add(chunk);
        complaints?.add(chunk);
      });
      const beat = () => watchdog.beat();
      const reading = Promise.all([consume(tap(child.stdout, beat)), consumeErrors?.(tap(child.stderr, beat))]).catch(
        (error: unknown) => ender.end(asHostlerError(error)),
      );
      const ended = await child;
      const { exitCode: code, signal } = sandboxed ? signalled(ended) : ended;
      await reading;
      const ms = Math.round(performance.now() - started);
      this.options.log.child({ tool: call.tool, pid: child.pid, code, signal, ms });
      if (ender.reason !== undefined) throw ender.reason;
      if (signal === CPU_SIGNAL) throw limitExceeded(call.tool, 'cpu_seconds', String(call.limits.cpuSeconds));
      assertMemory(call, { code, signal }, stderr.text);
      if (sandboxed) assertSandboxed(call.tool, stderr.text);
      return judged(call, { code, signal, stderr: stderr.text }, complaints?.end() ?? '');
    } finally {
      run.signal.removeEventListener('abort', onAbort);
      watchdog.stop();
      ender.stop();
      run.onChild(undefined);
    }
  }

  #start(command: readonly string[], fds: readonly number[], call: ToolCall) {
    // What the child would inherit beside is covered by nothing.
    const covered = Math.max(0, highestInheritable() + 1 - FIRST_FD - fds.length);
    return withNull((nothing) => this.#execute(command, [...fds, ...Array<number>(covered).fill(nothing)], call));
  }

  #execute([file = '', ...args]: readonly string[], fds: readonly number[], { env = {}, stdin }: ToolCall) {
    return execa(file, args, {
      ...(stdin === undefined ? {} : { input: stdin }),
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...fds.map(inherited)],
      env: { PATH: this.options.searchPath, LC_ALL: 'C', ...env },
      extendEnv: false,
      detached: true,
      cleanup: false,
      buffer: false,
      reject: false,
      encoding: 'buffer',
    });
  }

  async #limited({ cpuSeconds, addressSpaceBytes }: ToolLimits): Promise<string[]> {
    const limits = [
      ...(cpuSeconds === undefined ? [] : [`--cpu=${String(cpuSeconds)}:${String(cpuSeconds + 1)}`]),
      ...(addressSpaceBytes === undefined ? [] : [`--as=${String(addressSpaceBytes)}`]),
    ];
    return limits.length === 0 ? [] : [await this.find('prlimit'), ...limits, '--'];
  }
}

/** Whether it has succeeded; a failure that its exit code hides speaks by its complaints alone. */
function judged({ answers = [0] }: ToolCall, exit: Omit<Exit, 'succeeded'>, complaints: string): Exit {
  const answered = exit.code !== undefined && answers.includes(exit.code);
  if (answered && complaints !== '') return { ...exit, stderr: complaints, succeeded: false };
  return { ...exit, succeeded: answered };
}

/** How tools end that get no more memory: they say so, or glib ends them. */
const NO_MEMORY =
  /allocate (?:memory|\d+ bytes)|out of memory|mmap.*failed|pthread_create failed|Resource temporarily unavailable/i;
const NO_MEMORY_SIGNALS: readonly (string | undefined)[] = ['SIGABRT', 'SIGTRAP', 'SIGSEGV'];

/** Fails with the limit's name when a tool that failed had come to the end of its memory. */
function assertMemory(
  { tool, limits: { addressSpaceBytes } }: ToolCall,
  { code, signal }: { readonly code: number | undefined; readonly signal: string | undefined },
  stderr: string,
): void {
  if (addressSpaceBytes === undefined || code === 0) return;
  if (NO_MEMORY_SIGNALS.includes(signal) || NO_MEMORY.test(stderr))
    throw limitExceeded(tool, 'address_space_bytes', String(addressSpaceBytes));
}

type Consumer = (output: AsyncIterable<Buffer>) => Promise<void>;

/** As whom the child runs. */
function identityWords(as: ToolCall['as']): string[] {
  return as === undefined ? [] : ['--reuid', String(as.uid), '--regid', String(as.gid), '--init-groups'];
}

interface Ended {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
}

/** What bubblewrap says of its tool. */
function signalled({ exitCode: code, signal }: Ended): Ended {
  const name = code === undefined ? undefined : SIGNALS.get(code - SIGNALLED);
  return name === undefined ? { exitCode: code, signal } : { exitCode: undefined, signal: name };
}

async function* tap(stream: AsyncIterable<Buffer>, beat: () => void): AsyncGenerator<Buffer, void> {
  for await (const chunk of stream) {
    beat();
    yield chunk;
  }
}

/** execa takes any descriptor, but its types know only the first ten. */
function inherited(fd: number): 3 {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- see above
  return fd as 3;
}
