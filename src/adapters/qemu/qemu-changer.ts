import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { CheckCounts, Comparison, ImageChanger, ImageComparer, Written } from '../../domain/ports/changes.js';
import type { ImageFormat, Preallocation } from '../../domain/model/image-format.js';
import type { Exit, ProcessRunner } from '../process/process.js';
import {
  checkArgs,
  commitArgs,
  compareChainsArgs,
  compareImagesArgs,
  copyUpArgs,
  nameOfLayerArgs,
  resizeArgs,
  setBaseArgs,
  snapshotArgs,
} from './qemu-change-args.js';
import { parseCheck, parseComparison, parseNameOfLayer, parseProgress, qemuError } from './qemu-output.js';
import { withoutStall, type Arg, type ToolLimits } from '../process/tool-call.js';
import type { Chain, Layer, ToolRun } from '../../domain/ports/tools.js';

/**
 * The data is copied, and only the name was refused; see `copyUpArgs`. It must be the whole output
 * of qemu-img (7.2 to 9.2): a table that could not be written adds another line, with the same exit
 * code.
 */
const NAME_REFUSED =
  /^qemu-img: Could not change the backing file to '.*': (?:backing format must be specified|No space left in the file header)$/;
/** qemu-img check: 2 corrupt, 3 leaks: results; 63: the format has no check. */
const EXIT_CHECKED = [0, 2, 3];
const EXIT_NO_CHECK = 63;
const EXIT_DIFFERENT = 1;

/** qemu-img's verbs that change existing images, and those that compare whole images. */
export class QemuChanger implements ImageChanger, ImageComparer {
  /** @param limits of the children that work on whole images */
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async resize(
    image: Written,
    request: { readonly sizeBytes: bigint; readonly shrink: boolean; readonly preallocation: Preallocation },
    tool: ToolRun,
  ): Promise<void> {
    this.#succeeded(await this.#quiet(resizeArgs(image, request), tool));
  }

  async copyUp(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void> {
    const exit = await this.#progressing(copyUpArgs(image, base), tool);
    if (!NAME_REFUSED.test(exit.stderr.trim())) this.#succeeded(exit);
  }

  async assertCopied(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void> {
    const exit = await this.#quiet(compareChainsArgs(image, base), tool, [0, EXIT_DIFFERENT]);
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
    if (exit.code === 0) return;
    const { address } = image.chain[0].file;
    throw new HostlerError(
      'IO_ERROR',
      `${address}: not everything that was copied up is there: ${exit.stdout.trim()}`,
      {
        facts: { path: address, tool: 'qemu-img', stdout: exit.stdout.trim() },
      },
    );
  }

  async setBase(
    image: Written,
    base: { readonly storedName: string; readonly format: ImageFormat } | undefined,
    tool: ToolRun,
  ): Promise<void> {
    this.#succeeded(await this.#quiet(setBaseArgs(image, base), tool));
  }

  async commit(image: Written, depth: number, tool: ToolRun): Promise<void> {
    const base = depth > 1 ? await this.#nameOfLayer(image, depth, tool) : undefined;
    this.#succeeded(await this.#progressing(commitArgs(image, depth, base), tool));
  }

  async check(image: Written, repair: 'none' | 'leaks' | 'all', tool: ToolRun): Promise<CheckCounts> {
    const exit = await this.#quiet(checkArgs(image, repair), tool, EXIT_CHECKED, repair !== 'none');
    if (exit.code === EXIT_NO_CHECK)
      throw unsupported(`${image.chain[0].format} images have no check`, { format: image.chain[0].format });
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
    return parseCheck(exit.stdout);
  }

  async compare(first: Chain, second: Chain, strict: boolean, tool: ToolRun): Promise<Comparison> {
    const words: string[] = [];
    const args = compareImagesArgs(first, second, strict);
    const call = {
      tool: 'qemu-img',
      args,
      limits: withoutStall(this.limits),
      answers: [0, EXIT_DIFFERENT],
      silent: true,
    };
    const exit = await this.runner.lines(call, tool, (line) => {
      const fraction = parseProgress(line);
      if (fraction === undefined) words.push(line);
      else tool.onFraction?.(fraction);
    });
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
    return { equal: exit.code === 0, ...parseComparison(words.join('\n')) };
  }

  async createSnapshot(image: Written, name: string, tool: ToolRun): Promise<void> {
    this.#succeeded(await this.#quiet(snapshotArgs(image, '-c', name), tool));
  }

  async deleteSnapshot(image: Written, name: string, tool: ToolRun): Promise<void> {
    this.#succeeded(await this.#quiet(snapshotArgs(image, '-d', name), tool));
  }

  async revertSnapshot(image: Written, id: string, tool: ToolRun): Promise<void> {
    this.#succeeded(await this.#quiet(snapshotArgs(image, '-a', id), tool));
  }

  async #nameOfLayer(image: Written, depth: number, tool: ToolRun): Promise<string> {
    const exit = await this.#quiet(nameOfLayerArgs(image, depth), tool);
    this.#succeeded(exit);
    const name = parseNameOfLayer(exit.stdout);
    if (name !== undefined) return name;
    const { address } = image.chain[depth]?.file ?? image.chain[0].file;
    throw unsupported(
      `qemu-img cannot commit into ${address}: too many layers lie below it; flatten one of them first`,
      { path: address },
    );
  }

  #succeeded(exit: Exit): void {
    if (!exit.succeeded) throw qemuError(exit.stderr, exit);
  }

  #quiet(args: readonly Arg[], tool: ToolRun, answers: readonly number[] = [0], silent = true) {
    const limits = withoutStall(this.limits);
    return this.runner.run({ tool: 'qemu-img', args, limits, answers, silent }, tool);
  }

  #progressing(args: readonly Arg[], tool: ToolRun): Promise<Exit> {
    return this.runner.lines({ tool: 'qemu-img', args, limits: this.limits }, tool, (line) => {
      const fraction = parseProgress(line);
      if (fraction !== undefined) tool.onFraction?.(fraction);
    });
  }
}
