/**
 * The one door for child processes: argument array, no shell, a bare environment, own process
 * group, ended with the daemon, TERM to the group and KILL after a grace time, bounded output,
 * always awaited.
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
  /** Set unless a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /**
   * The last few KiB of standard error; where its exit code says otherwise, what speaks against
   * that code.
   */
  readonly stderr: string;
  /** The same with the names that callers know. */
  readonly shown: string;
  /** Its exit code is an answer, and no text on standard error speaks against it. */
  readonly succeeded: boolean;
}

/** Of a child that has ended, or cannot be ended; without secrets. */
export interface ChildFacts {
  readonly tool: string;
  readonly pid: number;
  /** With the names that callers know. */
  readonly args: readonly string[];
}

export interface EndedChild extends ChildFacts {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly ms: number;
  /** The last lines on standard error, unless the child's output is its caller's. */
  readonly stderr?: string;
  /** Neither its exit code nor what it printed speaks of a failure, or the daemon ended it. */
  readonly expected: boolean;
}

export interface ProcessLog {
  child(facts: EndedChild): void;
  /** One that cannot be ended runs on without us. */
  abandoned(facts: ChildFacts): void;
  /** For the metrics; `ended`: by the daemon, because of a cancel or a limit. */
  readonly counted?: (tool: string, outcome: 'succeeded' | 'failed' | 'ended', cpuSeconds: number) => void;
}

const MAX_STDERR_BYTES = 4096;
/** More than any tool's JSON; a tool that prints for ever is ended. */
const MAX_STDOUT_BYTES = 64 * 1024 * 1024;
/** What the soft limit sends; the hard one, a second later, would be a KILL like any other. */
const CPU_SIGNAL = 'SIGXCPU';
/** A shell and bubblewrap say so, plus its number, when a signal ended the tool. */
const SIGNALLED = 128;

/** What is started, and what it inherits from descriptor 3 on. */
interface Launch {
  readonly command: readonly string[];
  readonly fds: readonly number[];
  readonly sandboxed: boolean;
  /** What the tool printed, with the names that callers know. */
  readonly shown: (text: string) => string;
}

/**
 * Takes a line. The signal is aborted when the tool has ended, so a consumer that waits for its own
 * reader can stop.
 */
type OnLine = (line: string, signal: AbortSignal) => void | Promise<void>;
/** The same for a piece of what it printed. */
type OnPiece = (stream: 'stdout' | 'stderr', piece: Buffer, signal: AbortSignal) => Promise<void>;

/**
 * Starts every child process of the daemon and waits for its end: sandbox, limits, cancel, output.
 * See docs/architecture.md, "What a tool sees".
 */
export class ProcessRunner {
  /** Where each tool is; looked up once. */
  readonly #paths = new Map<string, string>();
  /**
   * Starts of tools: together they hold one thread of the pool at the most, also where the first
   * program does not load.
   */
  readonly #turns = new Turns();

  constructor(
    private readonly options: {
      readonly killGraceMs: number;
      readonly searchPath: string;
      /** Commands that run every tool, such as nice. */
      readonly prefix?: readonly (readonly string[])[];
      /** Where every tool runs that is not trusted; unset: with the daemon's own rights. */
      readonly sandbox?: Sandbox;
      /**
       * Untrusted images are refused: the configuration demands a sandbox, and it does not work.
       */
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

  /** Whether tools may open untrusted images. */
  get allowsForeign(): boolean {
    return this.options.refuseForeign !== true;
  }

  /**
   * Runs to the end and returns what it printed. Any exit code is fine; limits and cancel throw.
   */
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
   * Runs to the end and hands over each line, split at \n and \r, as it comes; a slow reader slows
   * the tool.
   */
  lines(call: ToolCall, tool: ToolRun, onLine: OnLine): Promise<Exit> {
    return this.#spawn(call, tool, async (stdout, signal) => {
      for await (const line of splitLines(stdout)) await onLine(line, signal);
    });
  }

  /**
   * Runs to the end and hands over what comes on either stream, as it comes; a slow reader slows
   * the tool.
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

  /** Puts contents where the child can read them. */
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
    // A cancel that came during the start counts too.
    if (tool.signal.aborted) onAbort();
    // What the tool left behind in its group must not keep our pipes open.
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

  /** Until the child has ended and all that it printed is read. Never fails. */
  async #toItsEnd(child: Child, killer: GroupKiller, run: ToolRun, read: () => Promise<unknown>) {
    // What fails here ends the child; it is not left alone for it.
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

/** Whether it has succeeded; a failure that its exit code hides speaks by its complaints alone. */
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
 * What it printed is handed on by these; the signal says that the tool is ended, so that nobody
 * need wait for a reader any more.
 */
type Consumer = (output: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<void>;

/** Fails when it was a limit that ended the tool, or something around it. */
function assertEnded(
  call: ToolCall,
  exit: Omit<Exit, 'succeeded' | 'shown'>,
  { sandboxed }: Pick<Launch, 'sandboxed'>,
): void {
  if (exit.signal === CPU_SIGNAL) throw limitExceeded(call.tool, 'cpu_seconds', String(call.limits.cpuSeconds));
  assertResources(call, exit);
  if (sandboxed) assertSandboxed(call.tool, exit.stderr);
}

/** Of a child, for the log. */
function factsOf(call: ToolCall, pid: number): ChildFacts {
  return { tool: call.tool, pid, args: shownArguments(call) };
}

/** As whom the child runs. */
function identityWords(as: ToolCall['as']): string[] {
  return as === undefined ? [] : ['--reuid', String(as.uid), '--regid', String(as.gid), '--init-groups'];
}

/** What bubblewrap says of its tool. */
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
