import { Readable } from 'node:stream';
import { HostlerError } from '../../domain/model/errors.js';
import type { Compression, Expander } from '../../domain/ports/sources.js';
import type { ProcessRunner } from '../process/process.js';
import { toolReason } from '../linux/tool-words.js';
import { withoutStall, type ToolLimits } from '../process/tool-call.js';
import type { AddressedFile } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/**
 * Memory for a tool's decompression window: the largest window of zstd, whose logarithm its option
 * takes, and as much for xz. Half of that if the memory limit of tools is too small.
 */
const WINDOWS = { large: { log: 31, mib: 2112 }, small: { log: 30, mib: 1088 } };
/**
 * Messages of zstd 1.5 about a larger window and of xz 5.4 about a larger dictionary. The image
 * itself is intact.
 */
const TOO_LARGE_A_WINDOW = /requires too much memory for decoding|Memory usage limit reached/;
/** For the large window and everything else that a tool needs. */
const LARGE_NEEDS_BYTES = 3n << 30n;
/**
 * Message of gzip 1.12 and bzip2 1.0 if the compressed data was complete and something else follows
 * it.
 */
const IGNORED = /trailing garbage(?: after EOF)? ignored/;
const [DONE, WARNED] = [0, 2];

/**
 * Decompresses with the standard tools, in the sandbox: those define which files are readable and
 * which are broken.
 */
export class ToolExpander implements Expander {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async expand(
    compression: Compression,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<'all' | 'followed'> {
    const args = ['-d', '-c', ...this.#options(compression), [{ read: file }]];
    const call = { tool: compression, args, limits: withoutStall(this.limits), foreign: true } as const;
    const exit = await this.runner.pieces(call, tool, (stream, piece) =>
      stream === 'stdout' ? take(piece) : Promise.resolve(),
    );
    const end = endOf(compression, exit);
    if (end !== undefined) return end;
    if (TOO_LARGE_A_WINDOW.test(exit.stderr)) throw this.#tooLarge(file, compression, exit.shown.trim());
    throw failed(file, compression, exit.shown.trim());
  }

  async endsWithin(compression: Compression, bytes: AsyncIterable<Uint8Array>, tool: ToolRun): Promise<boolean> {
    const args = ['-t', ...this.#options(compression)];
    const limits = withoutStall(this.limits);
    const call = { tool: compression, args, limits, foreign: true, stdin: Readable.from(bytes) } as const;
    return endOf(compression, await this.runner.pieces(call, tool, () => Promise.resolve())) !== undefined;
  }

  get #window() {
    const { addressSpaceBytes = LARGE_NEEDS_BYTES } = this.limits;
    return addressSpaceBytes < LARGE_NEEDS_BYTES ? WINDOWS.small : WINDOWS.large;
  }

  #options(compression: Compression): readonly string[] {
    const { log, mib } = this.#window;
    if (compression === 'xz') return ['-q', `--memlimit-decompress=${String(mib)}MiB`];
    return compression === 'zstd' ? ['-q', `--long=${String(log)}`] : [];
  }

  #tooLarge({ address }: AddressedFile, compression: Compression, stderr: string): HostlerError {
    const mib = String(this.#window.mib);
    const why = `to expand it ${compression} needs more than the ${mib} MiB of memory that it may have`;
    return new HostlerError('TOOL_LIMIT_EXCEEDED', `${address}: ${why}`, {
      facts: { path: address, tool: compression, limit: 'expander_memory_mib', value: mib, stderr },
    });
  }
}

/** Undefined: the file is broken or truncated. */
function endOf(
  compression: Compression,
  { code, stderr }: { readonly code: number | undefined; readonly stderr: string },
): 'all' | 'followed' | undefined {
  const followed = IGNORED.test(stderr);
  if (code !== DONE && !(code === WARNED && compression === 'gzip' && followed)) return undefined;
  return followed ? 'followed' : 'all';
}

/** An error of the disk says nothing about the image on it. */
function failed(file: AddressedFile, compression: Compression, why: string): HostlerError {
  const reason = toolReason(why);
  if (reason === undefined) return malformed(file, compression, why);
  return new HostlerError(reason, `${file.address}: ${why}`, {
    facts: { path: file.address, compression, stderr: why },
  });
}

function malformed({ address }: AddressedFile, compression: Compression, why: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${address}: the ${compression} data is broken: ${why}`, {
    facts: { path: address, compression, stderr: why },
  });
}
