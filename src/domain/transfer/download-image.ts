import type { ImageAddress } from '../model/address.js';
import { BLOCK_ALGORITHM } from '../model/block-digest.js';
import type { Caller } from '../access/caller.js';
import { assertDigestible, dataExtentsOf } from '../verbs/digest-image.js';
import { HostlerError } from '../model/errors.js';
import type { Files, ImageLocks } from '../ports/images.js';
import type { ReadCallLimit } from '../verbs/read-call-limit.js';
import { assertUnchanged } from '../images/unchanged.js';
import { orAborted } from '../model/async.js';
import type { FileDigest, FileReader, Chunk, Transfers } from '../ports/transfers.js';
import { paced } from './pace.js';
import { RunningDigest } from './running-digest.js';
import type { Checksum } from '../model/checksum.js';
import type { Entry } from '../ports/handles.js';
import { isZeros } from '../model/zeros.js';
import { plainRun, type ImageTool } from '../ports/tools.js';
import type { Paths } from '../ports/paths.js';
import { isPlanted } from '../model/planted-faults.js';

export interface DownloadSpec {
  readonly address: ImageAddress;
  readonly offset: bigint;
  readonly length?: bigint;
  readonly allowInUse: boolean;
  /** Unset: no limit. */
  readonly bytesPerSecond?: bigint;
}

export interface DownloadPorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly imageLocks: ImageLocks;
  readonly tool: ImageTool;
  readonly readers: ReadCallLimit;
  readonly transfers: Transfers;
}

/** Best size of a gRPC message. */
export const PIECE_BYTES = 256 * 1024;

/**
 * A file's bytes, in order, with runs of zeros as such; at the end the digest of everything that
 * was sent. Fails with IMAGE_NOT_FOUND, NOT_A_FILE, IMAGE_IN_USE, IMAGE_TOO_LARGE, and with
 * SOURCE_CHANGED if it was changed meanwhile.
 */
export async function* downloadImage(
  spec: DownloadSpec,
  caller: Caller,
  ports: DownloadPorts,
): AsyncGenerator<Chunk | { readonly checksum: Checksum }, void> {
  const leave = ports.readers.enter(caller.identity);
  try {
    const entry = await ports.paths.entry(spec.address, { follow: true, access: 'look' });
    try {
      yield* send(entry, spec, caller, ports);
    } finally {
      await entry.handle.close();
    }
  } finally {
    leave();
  }
}

async function* send(entry: Entry, spec: DownloadSpec, caller: Caller, ports: DownloadPorts) {
  const { address } = entry;
  if (entry.kind !== 'file')
    throw new HostlerError('NOT_A_FILE', `${address} is not a regular file`, { facts: { path: address } });
  assertDigestible(entry);
  await assertFree(entry, spec, ports);
  const file = { ...entry, storage: 'file' as const, storedName: address, writable: false, trusted: false };
  const reader = await ports.transfers.reader(entry);
  let digest: SentDigest | undefined;
  try {
    digest = await SentDigest.open(entry, spec, ports);
    const run = plainRun(caller.signal);
    const pieces = merged(piecesOf(dataExtentsOf(file, ports.tool, run), entry, spec, reader));
    for await (const piece of paced(pieces, sizeOf, spec.bytesPerSecond, caller.signal)) {
      caller.signal.throwIfAborted();
      await digest.take(piece, caller.signal);
      yield 'data' in piece && isPlanted('download-loses-byte') ? { data: piece.data.subarray(1) } : piece;
    }
    const checksum = { algorithm: BLOCK_ALGORITHM, digest: await digest.digest(caller.signal) };
    if (!spec.allowInUse) await assertUnchanged([file], ports.files);
    await assertFree(entry, spec, ports);
    yield { checksum };
  } finally {
    await digest?.close();
    await reader.close();
  }
}

/**
 * The digest of the sent bytes: read from the file itself, beside the sending, unless a process may
 * write it meanwhile.
 */
class SentDigest {
  readonly #sent = new RunningDigest(BLOCK_ALGORITHM);
  #at: bigint;

  private constructor(
    private readonly file: FileDigest | undefined,
    start: bigint,
  ) {
    this.#at = start;
  }

  static async open(
    entry: Entry,
    { allowInUse, offset }: DownloadSpec,
    { transfers }: DownloadPorts,
  ): Promise<SentDigest> {
    return new SentDigest(allowInUse ? undefined : await transfers.follow(entry, BLOCK_ALGORITHM, offset), offset);
  }

  async take(piece: Chunk, signal: AbortSignal): Promise<void> {
    this.#at += 'data' in piece ? BigInt(piece.data.length) : piece.zeros;
    if (this.file === undefined) await this.#sent.take(piece, signal);
    else if ('data' in piece) this.file.reach(this.#at);
    else this.file.skip(this.#at);
  }

  async digest(signal: AbortSignal): Promise<string> {
    return this.file === undefined ? this.#sent.digest() : orAborted(this.file.digest(), signal);
  }

  async close(): Promise<void> {
    await this.file?.close();
  }
}

function sizeOf(piece: Chunk): number {
  return 'data' in piece ? piece.data.length : 0;
}

async function assertFree(entry: Entry, { allowInUse }: DownloadSpec, { imageLocks }: DownloadPorts): Promise<void> {
  if (allowInUse) return;
  const [hold] = await imageLocks.holds([entry]);
  if (hold === 'writer')
    throw new HostlerError('IMAGE_IN_USE', `${entry.address} is open for writing by another process`, {
      facts: { path: entry.address },
    });
}

async function* piecesOf(
  extents: ReturnType<typeof dataExtentsOf>,
  { lengthBytes }: Entry,
  { offset, length }: DownloadSpec,
  reader: FileReader,
): AsyncGenerator<Chunk> {
  const end = length === undefined ? lengthBytes : min(lengthBytes, offset + length);
  for await (const { offsetBytes, lengthBytes: long, data } of extents) {
    const [from, to] = [offsetBytes > offset ? offsetBytes : offset, min(offsetBytes + long, end)];
    if (from >= to) continue;
    if (data) yield* dataOf(reader, from, to);
    else yield { zeros: to - from };
  }
}

async function* dataOf(reader: FileReader, from: bigint, to: bigint): AsyncGenerator<Chunk> {
  const next = (at: bigint) => (at < to ? reader.read(at, Number(min(to - at, BigInt(PIECE_BYTES)))) : undefined);
  let coming = next(from);
  for (let at = from; at < to;) {
    const data = await coming;
    if (data === undefined || data.length === 0)
      throw new HostlerError('SOURCE_CHANGED', 'the file became shorter while it was read');
    at += BigInt(data.length);
    // Read while this one is sent.
    coming = next(at);
    coming?.catch(() => undefined); // avoids unhandledRejection; awaited as the next chunk
    yield isZeros(data) ? { zeros: BigInt(data.length) } : { data };
  }
}

/** Merges consecutive runs of zeros. */
async function* merged(pieces: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  let zeros = 0n;
  for await (const piece of pieces) {
    if ('zeros' in piece) {
      zeros += piece.zeros;
      continue;
    }
    if (zeros > 0n) yield { zeros };
    zeros = 0n;
    yield piece;
  }
  if (zeros > 0n) yield { zeros };
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
