import type { FarExport, NbdTool, PullOptions, Segment } from '../domain/copy/agents.js';
import { HostlerError } from '../domain/errors.js';
import type { FileRef, ToolRun } from '../domain/ports.js';
import { nbdOptions, pskObject } from './nbd-args.js';
import type { Exit, ProcessRunner } from './process.js';
import { parseProgress, qemuError } from './qemu-output.js';
import type { Arg, ToolLimits } from './tool-call.js';

/** Requests in flight; see convertArgs. */
const COROUTINES = '16';

/** Reads what other agents serve, by qemu-img in the sandbox, with the network. */
export class NbdClient implements NbdTool {
  /** @param limits of each child; its stall limit is what ends one whose line is dead */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async pull(source: FarExport, stretch: Segment, target: FileRef, options: PullOptions, run: ToolRun): Promise<void> {
    const args = pullArgs(source, stretch, target, options);
    const exit = await this.runner.lines(
      { tool: 'qemu-img', args, network: true, limits: this.limits },
      run,
      (line) => {
        const fraction = parseProgress(line);
        if (fraction !== undefined) run.onFraction?.(fraction);
      },
    );
    if (exit.code !== 0) throw pullError(exit);
  }
}

/** Into a file that is there, at the same place: what is a hole at the source is left as it is. */
export function pullArgs(source: FarExport, stretch: Segment, target: FileRef, options: PullOptions): Arg[] {
  const { from, to } = stretch;
  const place = `driver=raw,offset=${String(from)},size=${String(to - from)},file.driver=file,file.filename=`;
  return [
    'convert',
    '-p',
    '-n',
    '--target-is-zero',
    '-W',
    '-m',
    COROUTINES,
    ...(options.direct ? ['-t', 'none'] : []),
    ...(options.bytesPerSecond === undefined ? [] : ['-r', String(options.bytesPerSecond)]),
    ...pskObject('client', source.key),
    '--image-opts',
    '--target-image-opts',
    nbdOptions(source, stretch),
    [place, { write: target }],
  ];
}

/** Everything about the source is the line or the far end; the rest is about our own file. */
const OF_THE_SOURCE =
  /TLS|file\.driver=nbd|error while reading|[Ff]ailed to connect|server|option|Connection|end-of-file/;

function pullError(exit: Exit): HostlerError {
  const error = qemuError(exit.stderr, exit);
  if (error.reason === 'NO_SPACE' || !OF_THE_SOURCE.test(exit.stderr)) return error;
  return new HostlerError('REMOTE_UNREACHABLE', `the far end, or the line to it, broke: ${error.message}`, {
    facts: error.facts,
    cause: exit.stderr,
  });
}
