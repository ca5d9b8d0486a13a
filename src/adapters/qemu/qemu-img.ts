import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { ImageFormat } from '../../domain/model/image-format.js';
import type { Extent } from '../../domain/model/image-info.js';
import type { ProcessRunner } from '../process/process.js';
import {
  aheadBytes,
  compareArgs,
  convertArgs,
  convertOntoArgs,
  createArgs,
  identifyArgs,
  informArgs,
  mapArgs,
  measureArgs,
  wipeArgs,
  type OntoRequest,
} from './qemu-args.js';
import { parseExtent, parseIdentity, parseMeasure, parseProgress, qemuError } from './qemu-output.js';
import { BoundedQueue } from '../../domain/model/bounded-queue.js';
import { withoutStall, type Arg, type ToolCall, type ToolLimits } from '../process/tool-call.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type {
  Chain,
  ConvertRequest,
  CreateRequest,
  ImageTool,
  Layer,
  MeasureOf,
  ToolRun,
} from '../../domain/ports/tools.js';

/** Formats that `qemu-img measure` knows (7.2). */
const MEASURABLE: readonly ImageFormat[] = ['raw', 'qcow2', 'luks'];
const LUKS_AGAIN = /Unable to get accurate CPU usage/;
const LUKS_ATTEMPTS = 5;
/** qemu-img compare: the images differ. */
const EXIT_DIFFERENT = 1;

/** Lines that may be queued for a slow reader before the tool has to wait. */
const LINES_WAITING = 4096;

/**
 * qemu-img behind the port `ImageTool`. The tool's output is translated into reasons; untrusted
 * images are opened with their own limits.
 */
export class QemuImg implements ImageTool {
  /**
   * @param limits of the children that work on whole images
   * @param foreignLimits of the children that open untrusted images
   */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
    private readonly foreignLimits: ToolLimits,
  ) {}

  async create(target: FileRef, request: CreateRequest, tool: ToolRun): Promise<void> {
    await this.#timed(createArgs(target, request), request.passphrase !== undefined, (args) =>
      this.#print(args, withoutStallLimit({ limits: this.limits }), tool),
    );
  }

  async convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void> {
    await this.#timed(convertArgs(source, target, request), request.passphrase !== undefined, (args) =>
      this.#progressing(args, this.#heldFor(source), tool, aheadBytes(request)),
    );
  }

  /** The same into an existing image that is large enough. */
  async convertOnto(source: Chain, target: FileRef, request: OntoRequest, tool: ToolRun): Promise<void> {
    await this.#progressing(convertOntoArgs(source, target, request), this.#heldFor(source), tool, aheadBytes(request));
  }

  /** Makes the existing content all zeros. */
  async wipe(target: FileRef, sizeBytes: bigint, mode: 'zero' | 'discard', tool: ToolRun): Promise<void> {
    await this.#progressing(wipeArgs(target, sizeBytes, mode), { limits: this.limits }, tool, aheadBytes({}));
  }

  async #progressing(args: readonly Arg[], held: ToolPolicy, tool: ToolRun, ahead: bigint): Promise<void> {
    // The target may be a volume, which has no file reference.
    const exit = await this.runner.lines({ tool: 'qemu-img', args, ...held, silent: true }, tool, (line) => {
      const fraction = parseProgress(line);
      if (fraction !== undefined) tool.onFraction?.(fraction, ahead);
    });
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
  }

  async *map(source: Chain, tool: ToolRun): AsyncGenerator<Extent, void> {
    const stop = new AbortController();
    const queue = new BoundedQueue<string>(LINES_WAITING);
    const call = { tool: 'qemu-img', args: mapArgs(source), ...this.#heldFor(source) };
    const child = this.runner
      .lines(call, { ...tool, signal: AbortSignal.any([tool.signal, stop.signal]) }, (line, signal) =>
        queue.put(line, signal),
      )
      .then(
        (exit) => {
          queue.end(exit.succeeded ? undefined : qemuError(exit.stderr, exit));
        },
        (error: unknown) => {
          queue.end(error);
        },
      );
    try {
      for await (const line of queue.items(tool.signal)) {
        const extent = parseExtent(line);
        if (extent !== undefined) yield extent;
      }
    } finally {
      stop.abort(new HostlerError('CANCELLED', 'the reader of the map has gone'));
      await child;
    }
  }

  async measure(
    source: Chain,
    format: ImageFormat,
    tool: ToolRun,
    what: MeasureOf = {},
  ): Promise<{ requiredBytes: bigint; fullyAllocatedBytes: bigint }> {
    if (!MEASURABLE.includes(format)) {
      throw unsupported(`qemu-img can measure for ${MEASURABLE.join(', ')} only`, { format });
    }
    return parseMeasure(
      await this.#print(measureArgs(source, format, what), withoutStallLimit(this.#heldFor(source)), tool),
    );
  }

  async identify(image: Layer, tool: ToolRun): Promise<{ readonly format: string; readonly virtualSizeBytes: bigint }> {
    const held = withoutStallLimit({ limits: this.foreignLimits, foreign: true });
    const identified = parseIdentity(await this.#print(identifyArgs(image.file), held, tool));
    if (image.format !== 'vpc') return identified;
    // Without an explicit format qemu looks for the VHD footer at the start only, and takes the
    // size by its own list of creators.
    const informed = parseIdentity(await this.#print(informArgs(image), held, tool));
    return { ...informed, format: identified.format === 'raw' ? 'vpc' : identified.format };
  }

  async equal(first: FileRef, second: FileRef, tool: ToolRun): Promise<boolean> {
    const exit = await this.runner.run(
      {
        tool: 'qemu-img',
        args: compareArgs(first, second),
        ...withoutStallLimit({ limits: this.limits }),
        answers: [0, EXIT_DIFFERENT],
        silent: true,
      },
      tool,
    );
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
    return exit.code === 0;
  }

  /**
   * Creating a LUKS header benchmarks the processor (crypto/pbkdf.c). On a busy machine that
   * sometimes fails, before anything is written, with a message that only means "try again".
   */
  async #timed<T>(args: readonly Arg[], luks: boolean, work: (args: readonly Arg[]) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(args);
      } catch (error) {
        const again =
          luks && attempt < LUKS_ATTEMPTS && error instanceof HostlerError && LUKS_AGAIN.test(error.message);
        if (!again) throw error;
      }
    }
  }

  #heldFor(source: Chain): ToolPolicy {
    const foreign = source.some((layer) => layer.untrusted !== undefined);
    return { limits: foreign ? this.foreignLimits : this.limits, foreign };
  }

  async #print(args: readonly Arg[], held: ToolPolicy, tool: ToolRun): Promise<string> {
    const exit = await this.runner.run({ tool: 'qemu-img', args, ...held }, tool);
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
    return exit.stdout;
  }
}

/** Limits and trust of a call. */
type ToolPolicy = Pick<ToolCall, 'limits' | 'foreign'>;

/** The policy for calls that show no progress: silence is not a stall. */
function withoutStallLimit({ limits, ...rest }: ToolPolicy): ToolPolicy {
  return { ...rest, limits: withoutStall(limits) };
}
