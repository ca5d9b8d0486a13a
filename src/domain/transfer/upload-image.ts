import type { ImageAddress } from '../model/address.js';
import { assertStorage } from '../images/assert-storage.js';
import type { Caller } from '../access/caller.js';
import { BLOCK_ALGORITHM } from '../model/block-digest.js';
import { beginDigest, digestShown, type Digests } from '../verbs/digest-image.js';
import { HostlerError, asHostlerError, invalidFields } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageInfo } from '../model/image-info.js';
import type { Operations } from '../operations/engine.js';
import { GrowingSpace } from '../operations/resources/growing-space.js';
import { restoreError, type OperationRecord } from '../operations/record.js';
import type { ImageResult } from '../operations/results.js';
import { fingerprint } from '../operations/request-ids.js';
import { OpenSessions, untilIdle, type Stood } from '../operations/open-sessions.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock, Files } from '../ports/images.js';
import { assertWithinForeignLimits } from '../images/image-policy.js';
import { publishImage, type PublishPorts } from '../verbs/publish-image.js';
import { orAborted } from '../model/async.js';
import { Checkpoints, positionOf, type Position } from './checkpoints.js';
import { OpenUpload, type Committed, type UploadChecksum, type UploadPiece } from './open-upload.js';
import { PublishedUploads } from './published-uploads.js';
import type { Transfers } from '../ports/transfers.js';
import type { ChecksumAlgorithm } from '../model/checksum.js';
import type { FileAttributes } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';
import type { Paths } from '../ports/paths.js';
import { isPlanted } from '../model/planted-faults.js';

export interface UploadSpec {
  readonly target: ImageAddress;
  readonly format: ImageFormat;
  readonly lengthBytes: bigint;
  /**
   * How much of it will be data, as announced by the caller: reserved at once; data beyond that is
   * reserved as it arrives.
   */
  readonly dataBytes: bigint;
  readonly checksum?: UploadChecksum;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}

export interface UploadPorts extends PublishPorts {
  readonly transfers: Transfers;
  readonly files: Files;
  readonly digests: Digests;
  readonly clock: Clock;
  readonly paths: Paths;
  /** An upload without received data for this time is removed. */
  readonly uploadExpireMs: number;
}

/** A spec with its owner: no other caller finds it. */
type OwnedSpec = UploadSpec & { readonly owner: string };

/** An upload that callers can find again. */
interface Entry {
  readonly upload: OpenUpload;
  readonly owner: string;
}

/** What remains to be sent, or that nothing does. */
interface Started {
  readonly id: string;
  readonly committedBytes: bigint;
  readonly expireTimeMs: number;
  readonly info?: ImageInfo;
}

/**
 * Uploads: started, found again, resumed, and published when complete. Each is an operation, whose
 * id is the upload's; the next start of the daemon resumes it.
 */
export class Uploads {
  readonly #sessions = new OpenSessions<Entry>();
  readonly #published: PublishedUploads;

  constructor(
    private readonly operations: Operations,
    private readonly ports: UploadPorts,
  ) {
    this.#published = new PublishedUploads(ports, operations.ports.journal);
    operations.registerResumable(this.#verb);
  }

  /**
   * Begins an upload, or finds the caller's own with the same spec, also one that has succeeded; a
   * connection that still sends to that upload is ended. `info` is set when nothing is left to
   * send.
   */
  async start(asked: UploadSpec, requestId: string, caller: Caller): Promise<Started> {
    const spec = { ...asked, owner: caller.identity };
    const ask = { ...STANDING_ASK, requestId };
    const stood =
      (await this.#find(spec, requestId, caller.signal)) ??
      (await this.#sessions.start((as) => this.operations.start(this.#verb, spec, ask, as), caller));
    const { id } = stood;
    if ('ended' in stood) {
      const info = requestId === '' && spec.checksum === undefined ? {} : { info: infoOf(stood.ended) };
      const expireTimeMs = this.ports.clock() + this.ports.uploadExpireMs;
      return { id, committedBytes: spec.lengthBytes, expireTimeMs, ...info };
    }
    const { item } = stood;
    await item.upload.takeOver();
    return { id, committedBytes: item.upload.committedBytes, expireTimeMs: item.upload.expiresAt() };
  }

  /**
   * An upload that is open, or about to be: after a start of the daemon, or by another call. One
   * that is being checked is awaited. Without a request id also one that was published recently.
   */
  async #find(spec: OwnedSpec, requestId: string, signal: AbortSignal): Promise<Stood<Entry> | undefined> {
    const wanted = fingerprint(spec);
    for (const operation of this.operations.live.values()) {
      const { record, finished } = operation;
      if (record.method !== NAME || fingerprint(record.spec) !== wanted) continue;
      const item = await this.#sessions.opened(record.id, finished, signal);
      if (item !== undefined) return { id: record.id, item };
      const ended = await operation.ending();
      return ended.state === 'SUCCEEDED' ? { id: record.id, ended } : undefined;
    }
    return requestId === '' && !spec.overwrite ? this.#published.find(wanted, spec.target) : undefined;
  }

  /**
   * Receives bytes; after the last of them the image is checked and published. Fails with
   * UPLOAD_NOT_FOUND, and as the operation does.
   */
  async receive(
    id: string,
    offset: bigint,
    pieces: AsyncIterable<UploadPiece>,
    caller: Caller,
  ): Promise<{ readonly committedBytes: bigint; readonly info?: ImageInfo }> {
    const [entry, operation] = [this.#sessions.get(id), this.operations.live.get(id)];
    if (entry?.owner !== caller.identity || operation === undefined) return this.#resume(id, offset, pieces, caller);
    const { upload } = entry;
    if (!(await upload.receive(offset, pieces))) return { committedBytes: upload.committedBytes };
    const ended = await operation.ending();
    if (ended.error !== undefined) throw restoreError(ended.error);
    return { committedBytes: upload.committedBytes, info: infoOf(ended) };
  }

  /**
   * The result of a succeeded upload, for a caller that did not get it. Fails with
   * UPLOAD_NOT_FOUND.
   */
  async #resume(id: string, offset: bigint, pieces: AsyncIterable<UploadPiece>, caller: Caller) {
    const operation = this.operations.live.get(id);
    const record = operation?.record ?? (await this.operations.ports.journal.get(id));
    if (record?.method !== NAME || record.caller !== caller.identity) throw notFound(id);
    const ended = operation === undefined ? record : await orAborted(operation.ending(), caller.signal);
    if (ended.state !== 'SUCCEEDED') throw notFound(id);
    const info = infoOf(ended);
    const committedBytes = info.fileLengthBytes;
    if (offset !== committedBytes)
      throw invalidFields([{ field: 'header.offset', description: `must be ${String(committedBytes)}` }]);
    for await (const piece of pieces) {
      if (!('checksum' in piece))
        throw invalidFields([{ field: 'content', description: 'the upload is complete: nothing more can come' }]);
      this.#published.assertSame(id, piece.checksum);
    }
    return { committedBytes, info };
  }

  /**
   * Waits for an image's bytes and publishes them when they are complete, match their digest, and
   * are an acceptable untrusted image. A cancel or expiry removes the bytes.
   */
  get #verb(): Verb<OwnedSpec, ImageResult> {
    return {
      name: NAME,
      slot: () => 'upload',
      standing: true,
      uses: ({ target, overwrite }) => [{ role: 'target', address: target, overwrite, allowDependants: false }],
      resume: { key: fingerprint, after: [], alone: () => true },
      run: (spec, run) => this.#run(spec, run),
    };
  }

  async #run(spec: OwnedSpec, run: Run): Promise<ImageResult> {
    const { target: address, format, lengthBytes, dataBytes } = spec;
    assertStorage(run.target(address), ['file'], 'an upload');
    const { part, checkpoint } = await run.resumablePart(address, spec);
    const space = new GrowingSpace(run, address, part);
    await space.announced(dataBytes);
    assertWithinForeignLimits({ address, lengthBytes }, this.ports.reader.foreignRules);
    run.phase('COPYING');
    const { checksum, ...counts } = await this.#take(part, space, spec, run, positionOf(checkpoint ?? {}));
    const file = await this.ports.files.fingerprint(part);
    const target = { address, format, untrusted: true } as const;
    const result = await publishImage(part, target, { ...WORK, ...counts }, run, this.ports);
    this.#published.add(run.operationId, { spec: fingerprint(spec), checksum, file });
    return result;
  }

  /** Runs until every byte has arrived and matches; returns the counts. */
  async #take(part: StagedImage, space: GrowingSpace, spec: OwnedSpec, run: Run, { offset, zeroBytes = 0n }: Position) {
    const { transfers, clock, uploadExpireMs: expireMs } = this.ports;
    const { target, lengthBytes, dataBytes: totalBytes } = spec;
    let counts = { movedBytes: offset - zeroBytes, skippedBytes: zeroBytes };
    let checksum: UploadChecksum;
    const show = () => run.progress({ doneBytes: counts.movedBytes, totalBytes, skippedBytes: counts.skippedBytes });
    const writer = await transfers.writer(part, target);
    try {
      // Data received after the last checkpoint does not count.
      await part.truncate(offset);
      const checkpoints = new Checkpoints(writer, run, offset);
      const onCommitted = ({ offset: to, zeroBytes: zeros }: Committed) => {
        counts = { movedBytes: to - zeros, skippedBytes: zeros };
        show();
      };
      const options = { ...spec, from: { offset, zeroBytes }, expireMs, onCommitted };
      const follow = (algorithm: ChecksumAlgorithm) => transfers.digest(part, target, algorithm);
      const makeRoom = (bytes: bigint) => space.upTo(bytes);
      const upload = new OpenUpload(options, { writer, checkpoints, follow, makeRoom }, clock);
      try {
        const entry = { upload, owner: spec.owner };
        checksum = await this.#sessions.keep(run.operationId, entry, () =>
          untilIdle(upload.whole, () => upload.expiresAt(), clock, run.signal, 'the upload'),
        );
        await checkpoints.settled();
        await part.truncate(lengthBytes);
        run.phase('VERIFYING');
        await run.step('verify');
        const found =
          (await orAborted(upload.digest(checksum.algorithm), run.signal)) ??
          (await this.#read(part, spec, checksum.algorithm, run));
        assertAgrees(found, checksum);
      } finally {
        await upload.end(whyEnded(run.signal));
        await checkpoints.settled();
      }
    } finally {
      await writer.close();
    }
    return { ...counts, checksum };
  }

  /** The digest of all data, over however many connections it came. */
  async #read(
    part: StagedImage,
    { target, lengthBytes }: OwnedSpec,
    algorithm: ChecksumAlgorithm,
    run: Run,
  ): Promise<string> {
    const { transfers, digests, files } = this.ports;
    if (algorithm === BLOCK_ALGORITHM) {
      beginDigest(run);
      return digestShown(await files.refresh(await part.seal()), run, digests);
    }
    const digest = await transfers.digest(part, target, algorithm);
    try {
      digest.reach(lengthBytes);
      return await orAborted(digest.digest(), run.signal);
    } finally {
      await digest.close();
    }
  }
}

const NAME = 'UploadImage';
const WORK = { method: 'upload', why: 'the caller sent it' };

function assertAgrees(found: string, { algorithm, digest: wanted }: UploadChecksum): void {
  if (found === wanted || isPlanted('checksum-not-compared')) return;
  throw new HostlerError('CHECKSUM_MISMATCH', `checksum mismatch: expected ${wanted}, got ${found}`, {
    facts: { algorithm, expected: wanted, found },
  });
}

function notFound(id: string): HostlerError {
  return new HostlerError('UPLOAD_NOT_FOUND', `there is no upload ${id}`, { facts: { upload: id } });
}

function infoOf({ result }: OperationRecord): ImageInfo {
  if (result?.kind !== 'image') throw new HostlerError('BUG', 'an upload has no result');
  return result.info;
}

/** The error for a connection that still sends. */
function whyEnded(signal: AbortSignal): HostlerError {
  return signal.aborted ? asHostlerError(signal.reason) : new HostlerError('CANCELLED', 'the upload has ended');
}

/** Its callers come and go. */
const STANDING_ASK = { detach: true, planOnly: false, labels: {}, requestId: '' };
