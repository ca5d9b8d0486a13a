import type { DataExtent } from '../../domain/model/block-digest.js';
import type { FarExport, NbdPlace, NbdTool, PullOptions, PushOptions, Segment } from '../../domain/copy/agents.js';
import { HostlerError } from '../../domain/model/errors.js';
import { NBD_ENV, credentials, nbdOptions } from './nbd-args.js';
import type { Exit, ProcessRunner } from '../process/process.js';
import { aheadBytes, requestsAt } from './qemu-args.js';
import { fileOptions } from './qemu-nodes.js';
import { parseExtent, parseProgress, qemuError } from './qemu-output.js';
import { withoutStall, type Arg, type ToolLimits } from '../process/tool-call.js';
import type { FileRef, Resolved } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Writes into an existing target, all of it or a range: holes of the source are skipped. */
const ONTO = ['convert', '-p', '-n', '--target-is-zero', '-W'];

/**
 * Reads and writes exports of other agents, by qemu-img in the sandbox, with the network if it is
 * needed.
 */
export class NbdClient implements NbdTool {
  /** @param limits of each child; the stall limit ends one whose connection is dead */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async pull(source: FarExport, range: Segment, target: FileRef, options: PullOptions, tool: ToolRun): Promise<void> {
    await this.#copy(pullArgs(source, range, target, options), source.place, 'reads', tool, options);
  }

  async push(source: Resolved, place: NbdPlace, name: string, options: PushOptions, tool: ToolRun): Promise<void> {
    await this.#copy(pushArgs(source, place, name, options), place, 'writes', tool, options);
  }

  async *map({ place, name }: FarExport, tool: ToolRun): AsyncGenerator<DataExtent> {
    const args = ['map', '--output=json', ...credentials(place), '--image-opts', nbdOptions(place, name)];
    const call = { tool: 'qemu-img', args, network: overNetwork(place), limits: withoutStall(this.limits) };
    const { stdout, ...exit } = await this.runner.run(call, tool);
    if (!exit.succeeded) throw lineError(exit, 'reads');
    for (const line of stdout.split('\n')) {
      const extent = parseExtent(line);
      if (extent !== undefined)
        yield { offsetBytes: extent.offsetBytes, lengthBytes: extent.lengthBytes, data: extent.data && !extent.zero };
    }
  }

  async #copy(
    args: readonly Arg[],
    place: NbdPlace,
    far: keyof typeof FAR_SIDE,
    tool: ToolRun,
    options: Limited,
  ): Promise<void> {
    const call = {
      tool: 'qemu-img',
      args,
      network: overNetwork(place),
      limits: this.limits,
      env: NBD_ENV,
      silent: true,
    };
    const exit = await this.runner.lines(call, tool, (line) => {
      const fraction = parseProgress(line);
      if (fraction !== undefined) tool.onFraction?.(fraction, aheadBytes(options));
    });
    if (!exit.succeeded) throw lineError(exit, far);
  }
}

/**
 * Copies into an existing file, at the same offset. qemu's locks are off: several pulls write into
 * the file at once, each its own segments, and it lies in our private folder.
 */
export function pullArgs(source: FarExport, range: Segment, target: FileRef, options: PullOptions): Arg[] {
  const { from, to } = range;
  const place = `driver=raw,offset=${String(from)},size=${String(to - from)},file.driver=file,file.locking=off,file.filename=`;
  return [
    ...ONTO,
    ...(options.direct ? ['-t', 'none'] : []),
    ...rate(options),
    ...credentials(source.place),
    '--image-opts',
    '--target-image-opts',
    nbdOptions(source.place, source.name, range),
    [place, { write: target }],
  ];
}

/** Copies into an export. */
export function pushArgs(source: Resolved, place: NbdPlace, name: string, options: PushOptions): Arg[] {
  return [
    ...ONTO,
    ...rate(options),
    ...(options.shared ? ['-U'] : []),
    ...credentials(place),
    '--image-opts',
    '--target-image-opts',
    fileOptions(source, 'raw'),
    nbdOptions(place, name),
  ];
}

interface Limited {
  readonly bytesPerSecond?: bigint;
}

function rate({ bytesPerSecond }: Limited): string[] {
  const requests = ['-m', String(requestsAt(bytesPerSecond))];
  return bytesPerSecond === undefined ? requests : [...requests, '-r', String(bytesPerSecond)];
}

function overNetwork(place: NbdPlace): boolean {
  return !('socket' in place);
}

/** Messages about the remote end of the connection, in either direction. */
const OF_THE_LINE = /TLS|file\.driver=nbd|[Ff]ailed to connect|server|option|Connection|end-of-file|Broken pipe/;

/** Messages about the remote side of a copy. Any other failure is about the local file. */
const FAR_SIDE = { reads: /error while reading/, writes: /error while writing/ };

function lineError(exit: Exit, far: keyof typeof FAR_SIDE): HostlerError {
  const error = qemuError(exit.stderr, exit);
  const isOfTheLine = OF_THE_LINE.test(exit.stderr) || FAR_SIDE[far].test(exit.stderr);
  if (error.reason === 'NO_SPACE' || !isOfTheLine) return error;
  return new HostlerError('REMOTE_UNREACHABLE', `the connection to the other host broke: ${error.message}`, {
    facts: error.facts,
    cause: exit.stderr,
  });
}
