import type { ImageAddress } from '../model/address.js';
import { BLOCK_ALGORITHM, MAX_DIGEST_BYTES, type DataExtent } from '../model/block-digest.js';
import { HostlerError } from '../model/errors.js';
import { rest } from '../model/numbers.js';
import type { DigestResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock, Files } from '../ports/images.js';
import { rawFacts } from '../images/raw-facts.js';
import type { Fingerprint, Resolved } from '../ports/handles.js';
import type { ImageTool, ToolRun } from '../ports/tools.js';

export interface DigestSpec {
  readonly address: ImageAddress;
  /** The agent that verifies a copy by it. */
  readonly peer?: string;
}

/** Hashes a file's blocks in parallel with other work. */
export interface BlockHasher {
  /**
   * The block digest (`sha256-4m-blocks`) of a file with these extents. `onBytes` gets the bytes of
   * data hashed so far. Fails with IO_ERROR, ACCESS_DENIED.
   */
  digest(
    file: Resolved,
    extents: AsyncIterable<DataExtent>,
    work: { readonly signal: AbortSignal; readonly onBytes?: (bytes: bigint) => void },
  ): Promise<string>;
}

export interface DigestPorts {
  readonly tool: ImageTool;
  readonly files: Files;
  readonly digests: Digests;
}

/** Limit of remembered digests. */
const REMEMBERED = 4096;
/**
 * A file that was changed more recently than this may change again within the same tick of the
 * kernel's clock.
 */
const SETTLED_NS = 100_000_000n;
const NS_PER_MS = 1_000_000n;

/**
 * Digests of files, remembered as long as a file is unchanged: the same inode, size, mtime and
 * ctime.
 */
export class Digests {
  readonly #known = new Map<string, string>();

  constructor(
    private readonly ports: {
      readonly tool: ImageTool;
      readonly files: Files;
      readonly hasher: BlockHasher;
      readonly clock: Clock;
    },
  ) {}

  /**
   * Fails with SOURCE_CHANGED if the file was changed meanwhile, with IMAGE_TOO_LARGE, and as
   * `BlockHasher`.
   */
  async of(file: Resolved, run: ToolRun, onBytes?: (bytes: bigint) => void): Promise<string> {
    const { tool, files, hasher, clock } = this.ports;
    const startNs = BigInt(clock()) * NS_PER_MS;
    const before = await files.fingerprint(file);
    assertDigestible({ address: file.address, lengthBytes: before.lengthBytes });
    const key = fingerprintText(before);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const now = { ...file, lengthBytes: before.lengthBytes };
    const work = { signal: run.signal, ...(onBytes === undefined ? {} : { onBytes }) };
    const digest = await hasher.digest(now, dataExtentsOf(now, tool, run), work);
    if (fingerprintText(await files.fingerprint(file)) !== key)
      throw new HostlerError('SOURCE_CHANGED', `${file.address} changed while it was read`, {
        facts: { path: file.address },
      });
    if (before.changeTimeNs + SETTLED_NS < startNs) this.#remember(key, digest);
    return digest;
  }

  #remember(key: string, digest: string): void {
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size >= REMEMBERED) this.#known.delete(oldest);
    this.#known.set(key, digest);
  }
}

/** Fails with IMAGE_TOO_LARGE: hashing the zeros of a longer file would take too long. */
export function assertDigestible({ address, lengthBytes }: Pick<Resolved, 'address' | 'lengthBytes'>): void {
  if (lengthBytes <= MAX_DIGEST_BYTES) return;
  const most = String(MAX_DIGEST_BYTES);
  throw new HostlerError(
    'IMAGE_TOO_LARGE',
    `${address} has ${String(lengthBytes)} bytes; at most ${most} are digested`,
    {
      facts: { path: address, value: String(lengthBytes), limit: most },
    },
  );
}

/** Which parts of a file's bytes are data, whatever format they have. */
export async function* dataExtentsOf(file: Resolved, tool: ImageTool, run: ToolRun): AsyncGenerator<DataExtent> {
  if (file.lengthBytes === 0n) return;
  for await (const { offsetBytes, lengthBytes, data } of tool.map(
    [{ file, format: 'raw', facts: rawFacts(file) }],
    run,
  ))
    yield { offsetBytes, lengthBytes, data };
}

/** A fingerprint as one line of text, equal while the file is unchanged. */
export function fingerprintText(print: Fingerprint): string {
  return [print.device, print.inode, print.lengthBytes, print.modifyTimeNs, print.changeTimeNs].join(':');
}

/**
 * The digest of a file's bytes, independent of sparseness. Changes nothing; a crash leaves nothing.
 */
export function digestImage({ files, digests }: DigestPorts): Verb<DigestSpec, DigestResult> {
  return {
    name: 'DigestImage',
    // An agent that waits for it may hold a slot that this operation waits for; an export waits for
    // no operation.
    slot: ({ peer }) => (peer === undefined ? 'io' : 'export'),
    uses: ({ address }) => [{ role: 'source', address, allowInUse: false }],

    async plan({ address }, { file }) {
      const { handle, allocatedBytes, lengthBytes } = file(address);
      return {
        kind: 'plan',
        method: BLOCK_ALGORITHM,
        why: 'the data is read and hashed, holes are not read',
        moveBytes: allocatedBytes < lengthBytes ? allocatedBytes : lengthBytes,
        needBytes: 0n,
        freeBytes: await files.freeBytes(handle),
      };
    },

    async run({ address }, run) {
      run.phase('VERIFYING');
      const file = await files.refresh(run.file(address));
      await run.step('digest');
      const digest = await digestShown(file, run, digests);
      return { kind: 'digest', algorithm: BLOCK_ALGORITHM, digest, lengthBytes: file.lengthBytes };
    },
  };
}

/**
 * Call it before `digestShown` if it follows other work, whose progress belongs to another phase.
 */
export function beginDigest(run: Run): void {
  run.phase('VERIFYING');
  run.progress({ doneBytes: 0n, skippedBytes: 0n });
}

/** Hashes a file and shows the progress. */
export async function digestShown(file: Resolved, run: Run, digests: Digests): Promise<string> {
  const { lengthBytes, allocatedBytes } = file;
  const totalBytes = allocatedBytes < lengthBytes ? allocatedBytes : lengthBytes;
  const show = (doneBytes: bigint) =>
    run.progress({ doneBytes, totalBytes, skippedBytes: rest(lengthBytes, totalBytes) });
  show(0n);
  // A block with any data is hashed whole, so more may be hashed than is allocated.
  const digest = await digests.of(file, run.tool(), (bytes) => show(bytes < totalBytes ? bytes : totalBytes));
  show(totalBytes);
  return digest;
}
