import type { ImageAddress } from '../address.js';
import { assertStorage } from '../assert-storage.js';
import type { Caller } from '../caller.js';
import { HostlerError } from '../errors.js';
import type { ImageFormat } from '../image-format.js';
import type { ImageInfo } from '../image-info.js';
import type { Operations } from '../operations/engine.js';
import { restoreError, type ImageResult } from '../operations/record.js';
import { fingerprint } from '../operations/request-ids.js';
import { Standing, untilIdle } from '../operations/standing.js';
import type { Run, Verb } from '../operations/verb.js';
import type { Clock, FileAttributes } from '../ports.js';
import { assertTakeable } from '../image-policy.js';
import { publishImage, type PublishPorts } from '../publish-image.js';
import { OpenUpload, type UploadChecksum, type UploadPiece } from './open-upload.js';
import type { Transfers } from './ports.js';

export interface UploadSpec {
  readonly target: ImageAddress;
  readonly format: ImageFormat;
  readonly lengthBytes: bigint;
  /** So much of it will be data, the rest zeros. */
  readonly dataBytes: bigint;
  readonly checksum?: UploadChecksum;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}

export interface UploadPorts extends PublishPorts {
  readonly transfers: Transfers;
  readonly clock: Clock;
  /** An upload to which nobody has sent anything for so long is removed. */
  readonly uploadExpireMs: number;
}

/** An upload as callers find it again. */
interface Entry {
  readonly upload: OpenUpload;
  readonly spec: string;
  readonly owner: string;
}

/** Uploads: begun, found again, gone on with, and published when whole. Each is an operation, whose id is the upload's. */
export class Uploads {
  readonly #standing = new Standing<Entry>();

  constructor(
    private readonly operations: Operations,
    private readonly ports: UploadPorts,
  ) {}

  /** Begins an upload, or finds the caller's own that is the same; a connection that still sends to that is ended. */
  async start(
    spec: UploadSpec,
    caller: Caller,
  ): Promise<{ readonly id: string; readonly committedBytes: bigint; readonly expireTimeMs: number }> {
    const known = this.#standing.all.find(
      ([, { owner, spec: other }]) => owner === caller.identity && other === fingerprint(spec),
    );
    const { id, item } =
      known === undefined
        ? await this.#standing.start((as) => this.operations.start(this.#verb, spec, STANDING_ASK, as), caller)
        : { id: known[0], item: known[1] };
    await item.upload.takeOver();
    return { id, committedBytes: item.upload.committedBytes, expireTimeMs: item.upload.expiresAt() };
  }

  /** Takes bytes; with the last of them the image is checked and published. Fails with UPLOAD_NOT_FOUND, and as the operation does. */
  async receive(
    id: string,
    offset: bigint,
    pieces: AsyncIterable<UploadPiece>,
    caller: Caller,
  ): Promise<{ readonly committedBytes: bigint; readonly info?: ImageInfo }> {
    const [entry, operation] = [this.#standing.get(id), this.operations.live.get(id)];
    if (entry?.owner !== caller.identity || operation === undefined)
      throw new HostlerError('UPLOAD_NOT_FOUND', `there is no upload ${id}`, { facts: { upload: id } });
    const { upload } = entry;
    if (!(await upload.receive(offset, pieces))) return { committedBytes: upload.committedBytes };
    const { error, result } = await operation.finished;
    if (error !== undefined) throw restoreError(error);
    if (result?.kind !== 'image') throw new HostlerError('BUG', 'an upload has no result');
    return { committedBytes: upload.committedBytes, info: result.info };
  }

  /**
   * Waits for an image's bytes and publishes them when they are whole, agree with their digest, and are an image that a stranger may
   * bring. A cancel, or time over, removes what has come.
   */
  get #verb(): Verb<UploadSpec, ImageResult> {
    return {
      name: 'UploadImage',
      slot: () => 'open',
      standing: true,
      uses: ({ target, overwrite }) => [{ role: 'target', address: target, overwrite, allowDependants: false }],
      run: (spec, run) => this.#run(spec, run),
    };
  }

  async #run(spec: UploadSpec, run: Run): Promise<ImageResult> {
    const { transfers, clock, uploadExpireMs, reader } = this.ports;
    const { target: address, format, lengthBytes, dataBytes } = spec;
    assertStorage(run.target(address), ['file'], 'an upload');
    await run.reserve(address, dataBytes);
    assertTakeable({ address, lengthBytes }, reader.foreignRules);
    const part = await run.part(address, spec);
    run.phase('COPYING');
    let [doneBytes, skippedBytes] = [0n, 0n];
    const writer = await transfers.writer(part, address);
    try {
      const upload = new OpenUpload(spec, writer, uploadExpireMs, clock, (data, zeros) => {
        [doneBytes, skippedBytes] = [doneBytes + data, skippedBytes + zeros];
        run.progress({ doneBytes, totalBytes: dataBytes, skippedBytes });
      });
      const entry = { upload, spec: fingerprint(spec), owner: run.caller.identity };
      const checksum = await this.#standing.keep(run.operationId, entry, () =>
        untilIdle(upload.whole, () => upload.expiresAt(), clock, run.signal, 'the upload'),
      );
      run.phase('VERIFYING');
      await run.step('verify');
      await upload.verify(checksum, run.signal);
    } finally {
      await writer.close();
    }
    await part.truncate(lengthBytes);
    const work = { method: 'upload', why: 'the caller sent it', movedBytes: doneBytes, skippedBytes };
    return publishImage(part, { address, format, foreign: true }, work, run, this.ports);
  }
}

/** Its callers come and go. */
const STANDING_ASK = { detach: true, planOnly: false, labels: {}, requestId: '' };
