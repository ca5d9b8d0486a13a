import { assertStorage } from '../images/assert-storage.js';
import type { ImageAddress } from '../model/address.js';
import type { WriteResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import { HostlerError } from '../model/errors.js';
import { GrowingSpace, STEP_BYTES } from '../operations/resources/growing-space.js';
import { RoomInPlace } from '../operations/resources/room-in-place.js';
import type { Files } from '../ports/images.js';
import { sha256Of } from './digested-input.js';
import type { Contents } from '../ports/files.js';

export interface WriteFileSpec {
  readonly address: ImageAddress;
  /** Applied to a new file's 0666; unset: the root's setting, otherwise 022. */
  readonly umask?: number;
  /** Unset: the content is replaced as a whole. */
  readonly at?: bigint | 'end';
  /** Whether the result contains a digest of the data, for comparison with a repeated request. */
  readonly digest: boolean;
}

export interface WriteFilePorts {
  readonly contents: Contents;
  readonly files: Files;
}

const ALL_MAY = 0o666;
const DEFAULT_UMASK = 0o022;

/**
 * Replaces a file's content: after a crash, or if the writer disappears, it is the old or the new
 * content. Or writes into the file: then part of the data may be written.
 */
export function writeFile(ports: WriteFilePorts): Verb<WriteFileSpec, WriteResult> {
  return {
    name: 'WriteFile',
    slot: () => 'none',
    uses: ({ address, at }) =>
      at === undefined
        ? [{ role: 'target', address, overwrite: true, allowDependants: false }]
        : [
            {
              role: 'change',
              address,
              need: { follow: true, access: 'change' },
              kinds: ['file'],
              missingOk: false,
              allowInUse: false,
              changesContent: true,
            },
          ],

    run: (spec, run) => (spec.at === undefined ? replace(spec, run, ports) : writeInto(spec, spec.at, run, ports)),
  };
}

async function replace({ address, umask, digest }: WriteFileSpec, run: Run, { contents }: WriteFilePorts) {
  const target = run.target(address);
  assertStorage(target, ['file', 'device'], 'WriteFile');
  const { existing, defaults } = target;
  // An existing file keeps its mode and owner.
  const mode = umask === undefined && defaults.mode !== undefined ? defaults.mode : ALL_MAY & ~(umask ?? DEFAULT_UMASK);
  const part = await run.part(address, { overwrite: true, attributes: existing?.type === 'file' ? {} : { mode } });
  run.phase('COPYING');
  const space = new GrowingSpace(run, address, part);
  const taken = new Taken(run, digest, (bytes) => space.upTo(bytes));
  await run.step('fill');
  await contents.fill(part, taken.pieces(), address);
  await run.step('seal');
  const made = await part.seal();
  return run.commit('COMMITTING', { address, made, result: taken.result() }, () => part.publish());
}

async function writeInto(
  { address, digest }: WriteFileSpec,
  at: bigint | 'end',
  run: Run,
  { contents, files }: WriteFilePorts,
): Promise<WriteResult> {
  const entry = run.entry(address);
  if (entry === undefined) throw new HostlerError('BUG', `${address} was admitted without being there`);
  run.phase('MODIFYING');
  const room = new RoomInPlace(run, files, entry, at === 'end' ? 'end' : STEP_BYTES);
  const from = at === 'end' ? 0n : at;
  const taken = new Taken(run, digest, (end, length) => room.before(from + end - length, length));
  await run.step('write');
  await contents.writeInto(entry, at, taken.pieces());
  return taken.result();
}

/** Counts incoming data. */
class Taken {
  #bytes = 0n;
  readonly #hash: ReturnType<typeof sha256Of> | undefined;

  constructor(
    private readonly run: Run,
    digest: boolean,
    /** Called before a chunk is written, with the total including the chunk. */
    private readonly makeRoom: (endBytes: bigint, pieceBytes: bigint) => Promise<void>,
  ) {
    this.#hash = digest ? sha256Of() : undefined;
  }

  async *pieces(): AsyncGenerator<Uint8Array, void> {
    for await (const piece of this.run.input) {
      this.run.signal.throwIfAborted();
      const length = BigInt(piece.length);
      await this.makeRoom(this.#bytes + length, length);
      yield piece;
      this.#hash?.update(piece);
      this.#bytes += length;
      this.run.progress({ doneBytes: this.#bytes, skippedBytes: 0n });
    }
  }

  result(): WriteResult {
    const sha256 = this.#hash?.digest('hex');
    return { kind: 'write', writtenBytes: this.#bytes, ...(sha256 === undefined ? {} : { sha256 }) };
  }
}
