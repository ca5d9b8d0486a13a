import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { HostlerError } from '../domain/errors.js';
import type { Compression, Expander } from '../domain/fetch/ports.js';
import type { AddressedFile, ToolRun } from '../domain/ports.js';
import { errnoOf, systemError } from './errno.js';
import { procPath } from './handles.js';
import type { ProcessRunner } from './process.js';
import { toolReason } from './system-errors/tool-words.js';
import { withoutStall, type ToolLimits } from './tool-call.js';

const PIECE_BYTES = 1024 * 1024;
/** A dictionary larger than this needs more memory than an image is worth. */
const XZ_MEMORY = '--memlimit-decompress=1GiB';

/** gzip in a thread of ours, the others by their tools in the sandbox. */
export class ToolExpander implements Expander {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  expand(
    compression: Compression,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    run: ToolRun,
  ): Promise<void> {
    return compression === 'gzip' ? gunzip(file, take, run) : this.#tool(compression, file, take, run);
  }

  async #tool(
    compression: Exclude<Compression, 'gzip'>,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    run: ToolRun,
  ): Promise<void> {
    const options = { xz: [XZ_MEMORY], zstd: ['-q'], bzip2: ['-q'] }[compression];
    const exit = await this.runner.pieces(
      {
        tool: compression,
        args: ['-d', '-c', ...options, [{ read: file }]],
        limits: withoutStall(this.limits),
        foreign: true,
      },
      run,
      (stream, piece) => (stream === 'stdout' ? take(piece) : Promise.resolve()),
    );
    if (exit.code !== 0) throw failed(file, compression, exit.stderr.trim());
  }
}

async function gunzip(file: AddressedFile, take: (piece: Uint8Array) => Promise<void>, run: ToolRun): Promise<void> {
  const source = await open(procPath(file), constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw systemError(error, file.address);
  });
  // The stream would say that it was cut, not why.
  let refusal: unknown;
  try {
    await pipeline(
      source.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false }),
      createGunzip({ chunkSize: PIECE_BYTES }),
      async (pieces: AsyncIterable<Buffer>) => {
        try {
          for await (const piece of pieces) await take(piece);
        } catch (error) {
          refusal = error;
          throw error;
        }
      },
      { signal: run.signal },
    );
  } catch (error) {
    run.signal.throwIfAborted();
    const code = errnoOf(error) ?? '';
    if (refusal instanceof HostlerError) throw refusal;
    if (code.startsWith('Z_')) throw malformed(file, 'gzip', code);
    throw systemError(error, file.address);
  } finally {
    await source.close();
  }
}

/** A disk that cannot be read says nothing of what is on it. */
function failed(file: AddressedFile, compression: Compression, why: string): HostlerError {
  const reason = toolReason(why);
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
