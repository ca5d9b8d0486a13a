/**
 * The only place where child processes are started: argument array, no shell, a minimal
 * environment, own process group, ended with the daemon, SIGTERM to the group and SIGKILL after a
 * grace time, bounded output, always awaited.
 */
import { delimiter, join } from 'node:path';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { inCallersWords, lastLines, shownArguments } from './callers-words.js';
import { Complaints, isJudged } from './complaints.js';
import { GroupKiller, Watchdog, limitExceeded } from './child-control.js';
import { Child } from './child.js';
import { start } from './start/start.js';
import { firstProgram } from './tool-search.js';
import { Turns } from './turns.js';
import { assertResources, startFailure } from './resources.js';
import { hideInFolder, hideSecret, type HiddenSecret } from './hidden-secret.js';
import type { MemoryFolders } from './memory-folders.js';
import { LastBytes, splitLines } from './output.js';
import { assertSandboxed, pathInside, type Sandbox } from './sandbox.js';
import { closeAll } from '../linux/close-all.js';
import { startOf } from '../linux/orphans.js';
import { nameOfSignal } from '../linux/signals.js';
import {
  contentOf,
  descriptorOf,
  isContent,
  pathOutside,
  plainCall,
  type Reference,
  type ToolCall,
  type ToolLimits,
} from './tool-call.js';
import type { Ended } from './start/started.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** How a child ended. */
export interface Exit {
  /** Exit code; unset if a signal ended the child. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /**
   * The last few KiB of standard error. If that text contradicts a successful exit code, only the
   * complaints.
   */
  readonly stderr: string;
  /** The same text with the addresses that callers know. */
  readonly shown: string;
  /** The exit code is an expected answer, and no text on standard error contradicts it. */
  readonly succeeded: boolean;
}

/** Facts of a child that has ended, or cannot be ended; without secrets. */
export interface ChildFacts {
  readonly tool: string;
  readonly pid: number;
  /** With the addresses that callers know. */
  readonly args: readonly string[];
}

export interface EndedChild extends ChildFacts {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly ms: number;
  /** The last lines on standard error, unless the output belongs to the caller. */
  readonly stderr?: string;
  /** Neither the exit code nor the output reports a failure, or the daemon ended the child. */
  readonly expected: boolean;
}

export interface ProcessLog {
  child(facts: EndedChild): void;
  /** Called for a child that cannot be ended; it continues to run. */
  abandoned(facts: ChildFacts): void;
  /** For the metrics; `ended`: by the daemon, because of a cancel or a limit. */
  readonly counted?: (tool: string, outcome: 'succeeded' | 'failed' | 'ended', cpuSeconds: number) => void;
}

const MAX_STDERR_BYTES = 4096;
/** More than any tool's JSON; a tool that prints without end is stopped. */
const MAX_STDOUT_BYTES = 64 * 1024 * 1024;
/**
 * Signal of the soft CPU limit; the hard limit, a second later, would be a SIGKILL like any other.
 */
const CPU_SIGNAL = 'SIGXCPU';
/** A shell and bubblewrap add this to the number of the signal that ended the tool. */
const SIGNALLED = 128;

/** The program to start, and what it inherits from descriptor 3 on. */
interface Launch {
  readonly command: readonly string[];
  readonly fds: readonly number[];
  readonly sandboxed: boolean;
  /** Replaces paths in the tool's output by the addresses that callers know. */
  readonly shown: (text: string) => string;
}

/**
 * Receives a line. The signal is aborted when the tool has ended, so a consumer that waits for its
 * own reader can stop.
 */
type OnLine = (line: string, signal: AbortSignal) => void | Promise<void>;
/** Receives a chunk of output, under the same rules. */
type OnPiece = (stream: 'stdout' | 'stderr', piece: Buffer, signal: AbortSignal) => Promise<void>;

/**
 * Starts every child process of the daemon and waits for its end: sandbox, limits, cancel, output.
 * See docs/architecture.md, "What a tool sees".
 */
export class ProcessRunner {
  /** Cached path of each tool. */
  readonly #paths = new Map<string, string>();
  /**
   * Starts of tools run one after the other, so that they hold at most one thread of the pool, even
   * if loading the program hangs.
   */
  readonly #turns = new Turns();

  constructor(
    private readonly options: {
      readonly killGraceMs: number;
      readonly searchPath: string;
      /** Commands that wrap every tool, such as nice. */
      readonly prefix?: readonly (readonly string[])[];
      /** Sandbox of all untrusted tools; unset: they run with the daemon's own rights. */
      readonly sandbox?: Sandbox;
      /**
       * Whether untrusted images are refused: the configuration requires a sandbox, and it does not
       * work.
       */
      readonly refuseForeign?: boolean;
      /** Folders for secrets that a tool needs as a file in a folder. */
      readonly folders: MemoryFolders;
      readonly log: ProcessLog;
    },
  ) {}

  /** How tools are isolated from the host. */
  get sandboxName(): string {
    return this.options.sandbox === undefined ? 'none' : 'bubblewrap';
  }

  /** Whether tools may open untrusted images. */
  get allowsForeign(): boolean {
    return this.options.refuseForeign !== true;
  }

  /** Runs to the end and returns the output. Any exit code is accepted; limits and cancel throw. */
  async run(call: ToolCall, tool: ToolRun): Promise<Exit & { readonly stdout: string }> {
    const chunks: Buffer[] = [];
    let size = 0;
    const exit = await this.#spawn(call, tool, async (stdout) => {
      for await (const chunk of stdout) {
        size += chunk.length;
        if (size > MAX_STDOUT_BYTES) throw limitExceeded(call.tool, 'output', String(MAX_STDOUT_BYTES));
        chunks.push(chunk);
      }
    });
    return { ...exit, stdout: Buffer.concat(chunks).toString('utf8') };
  }

  /**
   * Runs a tool to its end and passes on each line, split at \n and \r, as it arrives; a slow
   * consumer slows the tool.
   */
  lines(call: ToolCall, tool: ToolRun, onLine: OnLine): Promise<Exit> {
    return this.#spawn(call, tool, async (stdout, signal) => {
      for await (const line of splitLines(stdout)) await onLine(line, signal);
    });
  }

  /**
   * Runs a tool to its end and passes on the output of both streams as it arrives; a slow consumer
   * slows the tool.
   */
  pieces(call: ToolCall, tool: ToolRun, onPiece: OnPiece): Promise<Exit> {
    const hand = (stream: 'stdout' | 'stderr') => async (source: AsyncIterable<Buffer>, signal: AbortSignal) => {
      for await (const piece of source) await onPiece(stream, piece, signal);
    };
    return this.#spawn(call, tool, hand('stdout'), hand('stderr'));
  }

  /** The tool's absolute path. Fails with TOOL_MISSING, ROOT_STALLED. */
  async find(tool: string): Promise<string> {
    const known = this.#paths.get(tool);
    if (known !== undefined) return known;
    const folders = tool.startsWith('/') ? ['/'] : this.options.searchPath.split(delimiter);
    const paths = folders.map((folder) => join(folder, tool));
    const path = await firstProgram(tool, paths);
    this.#paths.set(tool, path);
    return path;
  }

  async #spawn(call: ToolCall, run: ToolRun, consume: Consumer, consumeErrors?: Consumer): Promise<Exit> {
    const sandbox = call.trusted === true ? undefined : this.options.sandbox;
    if (call.foreign === true && this.options.refuseForeign === true)
      throw new HostlerError('SANDBOX_UNAVAILABLE', `${call.tool} opens no untrusted image without a sandbox`, {
        facts: { tool: call.tool },
      });
    const pathOf = sandbox === undefined ? pathOutside : pathInside;
    const plain = plainCall(call, pathOf);
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
      await this.#hide(call, references, secrets, sandbox !== undefined);
      const fds = references.map((reference) =>
        isContent(reference) ? (secrets.get(reference)?.fd ?? -1) : descriptorOf(reference),
      );
      const shown = (text: string) => inCallersWords(text, plain, pathOf);
      const launch = { command, fds, sandboxed: sandbox !== undefined, shown };
      const exit = await this.#supervise(call, launch, run, consume, consumeErrors);
      return { ...exit, shown: shown(exit.stderr) };
    } finally {
      await closeAll([...secrets.values()]);
    }
  }

  /** Puts secrets and texts into files that the child can read. */
  async #hide(
    { tool }: ToolCall,
    references: readonly Reference[],
    secrets: Map<Reference, HiddenSecret>,
    sandboxed: boolean,
  ): Promise<void> {
    for (const reference of references.filter(isContent)) {
      const within = 'secret' in reference && !sandboxed ? reference.within : undefined;
      const [content, { folders }] = [contentOf(reference), this.options];
      const hidden = within === undefined ? hideSecret(content) : hideInFolder(content, within, folders);
      secrets.set(
        reference,
        await hidden.catch((error: unknown) => {
          throw startFailure(tool, error);
        }),
      );
    }
  }

  async #supervise(
    call: ToolCall,
    launch: Launch,
    tool: ToolRun,
    consume: Consumer,
    consumeErrors?: Consumer,
  ): Promise<Omit<Exit, 'shown'>> {
    const child = await this.#turns.run(tool.signal, () => this.#start(launch, call, (error) => fail(error)));
    const started = performance.now();
    const fail = (error: unknown) => killer.end(asHostlerError(error));
    const abandoned = () => this.options.log.abandoned(factsOf(call, child.pid));
    const killer = new GroupKiller(child, this.options.killGraceMs, abandoned);
    const watchdog = new Watchdog(call, fail);
    const complaints = isJudged(call) ? new Complaints(call, MAX_STDERR_BYTES) : undefined;
    const onAbort = () => killer.end(asHostlerError(tool.signal.reason));
    tool.signal.addEventListener('abort', onAbort, { once: true });
    // The signal may have been aborted during the start.
    if (tool.signal.aborted) onAbort();
    // Processes that the tool left in its group must not keep our pipes open.
    child.onExit(() => killer.sweep());
    try {
      const stderr = new LastBytes(MAX_STDERR_BYTES);
      const ended = await this.#toItsEnd(child, killer, tool, () => {
        child.stderr.on('data', (chunk: Buffer) => {
          stderr.add(chunk);
          complaints?.add(chunk);
        });
        return Promise.all([
          consume(tap(child.stdout, watchdog), killer.signal),
          consumeErrors?.(tap(child.stderr, watchdog), killer.signal),
          child.errorsRead,
        ]);
      });
      const { exitCode: code, signal, cpuSeconds = 0 } = launch.sandboxed ? signalled(ended) : ended;
      const { answers = [0] } = call;
      const outcome = code !== undefined && answers.includes(code) ? 'succeeded' : 'failed';
      this.options.log.counted?.(call.tool, killer.signal.aborted ? 'ended' : outcome, cpuSeconds);
      const ms = Math.round(performance.now() - started);
      const end = judged(call, { code, signal, stderr: stderr.text }, complaints?.end() ?? '');
      const words = consumeErrors === undefined ? lastLines(launch.shown(end.stderr)) : '';
      this.options.log.child({
        ...factsOf(call, child.pid),
        ...{ code, signal, ms, expected: end.succeeded || killer.signal.aborted },
        ...(words === '' ? {} : { stderr: words }),
      });
      killer.signal.throwIfAborted();
      assertEnded(call, end, launch);
      return end;
    } finally {
      tool.signal.removeEventListener('abort', onAbort);
      watchdog.stop();
      killer.stop();
      child.close();
      tool.onChild(undefined);
    }
  }

  /** Resolves when the child has ended and all of its output is read. Never rejects. */
  async #toItsEnd(child: Child, killer: GroupKiller, run: ToolRun, read: () => Promise<unknown>) {
    // A failure to read ends the child, and the child is still awaited.
    const reading = (async () => {
      run.onChild({ pid: child.pid, start: startOf(child.pid) ?? '' });
      await read();
    })().catch((error: unknown) => killer.end(asHostlerError(error)));
    const [end] = await Promise.all([child.ended, reading]);
    return end;
  }

  /** Fails with HOST_EXHAUSTED, TOOL_FAILED. */
  async #start(
    { command: [file = '', ...args], fds }: Launch,
    { tool, env = {}, stdin }: ToolCall,
    onInputFailed: (error: Error) => void,
  ): Promise<Child> {
    const options = {
      env: { PATH: this.options.searchPath, LC_ALL: 'C', ...env },
      fds,
      stdin: stdin !== undefined,
    };
    const started = await start(file, args, options).catch((error: unknown) => {
      throw startFailure(tool, error);
    });
    return new Child(started, stdin, onInputFailed);
  }

  async #limited({ cpuSeconds, addressSpaceBytes, fileBytes }: ToolLimits): Promise<string[]> {
    const limits = [
      ...(cpuSeconds === undefined ? [] : [`--cpu=${String(cpuSeconds)}:${String(cpuSeconds + 1)}`]),
      ...(addressSpaceBytes === undefined ? [] : [`--as=${String(addressSpaceBytes)}`]),
      ...(fileBytes === undefined ? [] : [`--fsize=${String(fileBytes)}`]),
    ];
    return limits.length === 0 ? [] : [await this.find('prlimit'), ...limits, '--'];
  }
}

/** Whether the tool succeeded. If its exit code hides a failure, only complaints are reported. */
function judged(
  { answers = [0] }: ToolCall,
  exit: Omit<Exit, 'succeeded' | 'shown'>,
  complaints: string,
): Omit<Exit, 'shown'> {
  const answered = exit.code !== undefined && answers.includes(exit.code);
  if (answered && complaints !== '') return { ...exit, stderr: complaints, succeeded: false };
  return { ...exit, succeeded: answered };
}

/**
 * Consumes the output. The signal is aborted when the tool is ended: from then on no reader has to
 * be waited for.
 */
type Consumer = (output: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<void>;

/** Fails if a limit, or something outside the tool, ended it. */
function assertEnded(
  call: ToolCall,
  exit: Omit<Exit, 'succeeded' | 'shown'>,
  { sandboxed }: Pick<Launch, 'sandboxed'>,
): void {
  if (exit.signal === CPU_SIGNAL) throw limitExceeded(call.tool, 'cpu_seconds', String(call.limits.cpuSeconds));
  assertResources(call, exit);
  if (sandboxed) assertSandboxed(call.tool, exit.stderr);
}

/** Facts of a child for the log. */
function factsOf(call: ToolCall, pid: number): ChildFacts {
  return { tool: call.tool, pid, args: shownArguments(call) };
}

/** Command words that set the user of the child. */
function identityWords(as: ToolCall['as']): string[] {
  return as === undefined ? [] : ['--reuid', String(as.uid), '--regid', String(as.gid), '--init-groups'];
}

/** Restores the signal from the exit code by which bubblewrap reports it. */
function signalled(ended: Ended): Ended {
  const { exitCode: code } = ended;
  const name = code === undefined ? undefined : nameOfSignal(code - SIGNALLED);
  return name === undefined ? ended : { ...ended, exitCode: undefined, signal: name };
}

async function* tap(stream: AsyncIterable<Buffer>, watchdog: Watchdog): AsyncGenerator<Buffer, void> {
  for await (const chunk of stream) {
    watchdog.beat();
    yield chunk;
  }
}
