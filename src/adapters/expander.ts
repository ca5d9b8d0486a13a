import { Readable } from 'node:stream';
import { HostlerError } from '../domain/errors.js';
import type { Compression, Expander } from '../domain/fetch/ports.js';
import type { AddressedFile, ToolRun } from '../domain/ports.js';
import type { ProcessRunner } from './process.js';
import { toolReason } from './system-errors/tool-words.js';
import { withoutStall, type ToolLimits } from './tool-call.js';

/** A window larger than this needs more memory than an image is worth. */
const OPTIONS: Readonly<Record<Compression, readonly string[]>> = {
  gzip: [],
  xz: ['-q', '--memlimit-decompress=1GiB'],
  zstd: ['-q', '--long=30'],
  bzip2: [],
};
/** gzip 1.12 and bzip2 1.0 end so when all that is theirs was whole, and something else follows. */
const IGNORED = /trailing garbage(?: after EOF)? ignored/;
const [DONE, WARNED] = [0, 2];

/** By the tools that everybody takes, in the sandbox: what they read is read, and what they call broken is broken. */
export class ToolExpander implements Expander {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async expand(
    compression: Compression,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    run: ToolRun,
  ): Promise<'all' | 'followed'> {
    const args = ['-d', '-c', ...OPTIONS[compression], [{ read: file }]];
    const call = { tool: compression, args, limits: withoutStall(this.limits), foreign: true } as const;
    const exit = await this.runner.pieces(call, run, (stream, piece) =>
      stream === 'stdout' ? take(piece) : Promise.resolve(),
    );
    const end = endOf(compression, exit);
    if (end === undefined) throw failed(file, compression, exit.shown.trim());
    return end;
  }

  async endsWithin(compression: Compression, bytes: AsyncIterable<Uint8Array>, run: ToolRun): Promise<boolean> {
    const args = ['-t', ...OPTIONS[compression]];
    const limits = withoutStall(this.limits);
    const call = { tool: compression, args, limits, foreign: true, stdin: Readable.from(bytes) } as const;
    return endOf(compression, await this.runner.pieces(call, run, () => Promise.resolve())) !== undefined;
  }
}

/** Undefined: it is broken, or cut. */
function endOf(
  compression: Compression,
  { code, stderr }: { readonly code: number | undefined; readonly stderr: string },
): 'all' | 'followed' | undefined {
  const followed = IGNORED.test(stderr);
  if (code !== DONE && !(code === WARNED && compression === 'gzip' && followed)) return undefined;
  return followed ? 'followed' : 'all';
}

/** zstd 1.5 of more than 128 MiB (`--long=28` and above), xz 5.4 under a limit. The image is whole. */
const TOO_LARGE_A_WINDOW = /requires too much memory for decoding|Memory usage limit reached/;

/** A disk that cannot be read says nothing of what is on it. */
function failed(file: AddressedFile, compression: Compression, why: string): HostlerError {
  const reason = toolReason(why);
  if (TOO_LARGE_A_WINDOW.test(why))
    return new HostlerError(
      'UNSUPPORTED_BY_BACKEND',
      `${file.address}: ${compression} needs more memory to expand it than it takes by itself: compress it without a long window`,
      { facts: { path: file.address, compression, stderr: why } },
    );
  if (reason === undefined) return malformed(file, compression, why);
  return new HostlerError(reason, `${file.address}: ${why}`, {
    facts: { path: file.address, compression, stderr: why },
  });
}

function malformed({ address }: AddressedFile, compression: Compression, why: string): HostlerError {
  return new HostlerError('IMAGE_MALFORMED', `${address}: what came is broken ${compression}: ${why}`, {
    facts: { path: address, compression, stderr: why },
  });
}
