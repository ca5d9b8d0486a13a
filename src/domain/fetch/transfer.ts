import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Checkpoint } from '../operations/recovery/resume-entries.js';
import { storeError } from '../operations/record.js';
import type { Run } from '../operations/verb.js';
import type { FileDigest, FileWriter, Follower } from '../ports/transfers.js';
import { orAborted, sleepOrAborted } from '../model/async.js';
import { Checkpoints, positionOf, type Position } from '../transfer/checkpoints.js';
import type { SourceAnswer, RemoteFile } from '../ports/sources.js';
import { Pace } from '../transfer/pace.js';
import { RateWatch, waitedFor } from './rate-watch.js';
import { SparseSink } from './sparse-sink.js';
import { TransferRoom } from './transfer-room.js';
import { assertWithin, endedEarly, noEnd, otherContent, otherLength, tooMuch, unprovedParts } from './wrong-bodies.js';
import { withoutWebPage } from './web-page.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { StagingFile } from '../ports/targets.js';
import { type TransferSpec, type FetchTransferPorts, type Transferred, allOf, TRANSPORT } from './transfer-spec.js';

/**
 * Less than this beyond the best attempt does not count as progress: otherwise a byte now and then
 * would be awaited forever.
 */
const PROGRESS_BYTES = 256n * 1024n;
/** Interval of progress reports for a slow source. */
const SHOW_MS = 200;

interface OpenPart {
  readonly writer: FileWriter;
  readonly digest: FileDigest;
  readonly followers: Follower;
}

/**
 * Downloads a remote file into a local file: resumes after lost connections and restarts, hashes
 * the data on the way, and leaves holes for zeros.
 */
export class Transfer {
  #position: Position = { offset: 0n };
  #networkBytes = 0n;
  #zeroBytes = 0n;
  /**
   * Whether the parts are from several requests, so that only the checksum tells whether they are
   * of the same content.
   */
  #resumed = false;
  /** Whether a later request can resume where the body stopped. */
  #resumable = true;
  /** How often the combined parts did not match the checksum. */
  #mixed = 0;
  /** Whether an earlier attempt received data with secrets that this caller may not have. */
  #unproved = false;
  /**
   * Whether the data is from an earlier attempt, and only the source can tell whether it is still
   * current.
   */
  #outdated = false;
  #computed: ExpectedChecksum | undefined;
  readonly #room: TransferRoom;
  readonly #pace: Pace;
  #cameBytes = 0;
  #attempts = 1;

  constructor(
    private readonly remote: RemoteFile,
    private readonly file: StagingFile,
    private readonly spec: TransferSpec,
    private readonly run: Run,
    private readonly ports: FetchTransferPorts,
  ) {
    this.#room = new TransferRoom(run, spec.target, file);
    this.#pace = new Pace(spec.rate ?? (() => undefined));
  }

  /**
   * Fails with SOURCE_UNAVAILABLE and STALLED when the retries are used up, with CHECKSUM_MISMATCH,
   * IMAGE_TOO_LARGE, and as `RemoteFile`.
   */
  async from(checkpoint: Checkpoint | undefined): Promise<Transferred> {
    const { transfers } = this.ports;
    const { target, checksum } = this.spec;
    const writer = await transfers.writer(this.file, target);
    try {
      const digest = await transfers.digest(this.file, target, checksum?.algorithm ?? 'sha256');
      try {
        return await this.#download({ writer, digest, followers: allOf(digest, this.spec.follower) }, checkpoint);
      } finally {
        await digest.close();
      }
    } finally {
      await writer.close();
    }
  }

  async #download(part: OpenPart, checkpoint: Checkpoint | undefined): Promise<Transferred> {
    await this.#takeUp(part, checkpoint);
    const checkpoints = new Checkpoints(part.writer, this.run, this.#position.offset);
    try {
      await this.#complete(part, checkpoints);
    } finally {
      await checkpoints.settled();
    }
    return this.#end(part.writer);
  }

  /** Data of an earlier attempt is hashed again from disk while the rest arrives. */
  async #takeUp({ writer, followers }: OpenPart, checkpoint: Checkpoint | undefined): Promise<void> {
    if (checkpoint !== undefined) this.#position = positionOf(checkpoint);
    const { offset } = this.#position;
    if (offset > 0n && (await writer.read(offset - 1n, 1)).length === 0) this.#position = { offset: 0n };
    this.#resumed = this.#position.offset > 0n;
    this.#unproved = this.#resumed && this.#position.guarded !== false;
    // An operation that resumes after a restart is still the same request.
    const { operationId } = this.#position;
    this.#outdated =
      checkpoint !== undefined && operationId !== this.run.operationId && this.spec.checksum === undefined;
    followers.reach(this.#position.offset);
    await this.file.truncate(this.#position.offset);
    this.run.phase('DOWNLOADING');
  }

  /** Runs until all data has arrived and matches. */
  async #complete(part: OpenPart, checkpoints: Checkpoints): Promise<void> {
    let failures = 0;
    let best = this.#position.offset;
    for (;;) {
      try {
        if (this.#isComplete() && !(await this.#isStill()))
          await this.#startOver(part, checkpoints, 'the source does not say that it still has this content');
        if (!this.#isComplete()) await this.#receive(part, checkpoints);
        if (await this.#agrees(part.digest)) return;
        this.#mixed++;
        await this.#startOver(part, checkpoints, 'the parts together do not have the checksum');
      } catch (error) {
        const { reason, retryAfterMs } = asHostlerError(error);
        if (!TRANSPORT.includes(reason) || this.run.signal.aborted) throw error;
        // Only a new maximum counts as progress; a server that always starts again makes none.
        failures = this.#position.offset > best + PROGRESS_BYTES ? 1 : failures + 1;
        best = larger(best, this.#position.offset);
        if (!this.#canGoOn() && !this.#mustAsk())
          await this.#startOver(part, checkpoints, 'the source cannot resume in the middle');
        else if (this.#position.offset > 0n) await checkpoints.now(this.#position);
        if (failures >= this.ports.rules.attempts) throw error;
        await this.#wait(asHostlerError(error), this.#backoffMs(failures, retryAfterMs));
      }
    }
  }

  /** Waits before the next attempt; watchers see until when, and why. */
  async #wait(error: HostlerError, waitMs: number): Promise<void> {
    this.#attempts += 1;
    const nextTime = this.ports.clock() + waitMs;
    this.run.retry({ attempt: this.#attempts, error: storeError(error), nextTime });
    await sleepOrAborted(waitMs, this.run.signal);
  }

  #isComplete(): boolean {
    return this.#position.totalBytes === this.#position.offset;
  }

  /**
   * Whether the source has to be asked, because all data arrived long ago or for another caller.
   */
  #mustAsk(): boolean {
    return this.#isComplete() && (this.#unproved || this.#outdated);
  }

  /**
   * Whether the source still has the content and gives it to this caller. Fails with
   * SOURCE_REFUSED.
   */
  async #isStill(): Promise<boolean> {
    if (!this.#mustAsk()) return true;
    await this.run.step('request');
    const { validator, freshness = validator } = this.#position;
    if (freshness === undefined || !(await this.remote.isStill(freshness, this.run.signal))) return false;
    [this.#unproved, this.#outdated] = [false, false];
    this.#position = { ...this.#position, guarded: this.spec.guarded };
    return true;
  }

  /**
   * Receives until the end. Complete parts are requested one after the other, as long as the rate
   * suffices.
   */
  async #receive(part: OpenPart, checkpoints: Checkpoints): Promise<void> {
    const watch = new RateWatch(this.spec.what, this.ports.rules);
    try {
      let left = await this.#take(part, checkpoints, watch, 'first');
      while (left === 'more') left = await this.#take(part, checkpoints, watch, 'next');
    } catch (error) {
      // The watch's reason is more specific than the error of the closed connection.
      throw watch.signal.aborted && !this.run.signal.aborted ? asHostlerError(watch.signal.reason) : error;
    } finally {
      watch.stop();
    }
  }

  /** Takes one answer; returns whether it was the last one. */
  async #take(
    part: OpenPart,
    checkpoints: Checkpoints,
    watch: RateWatch,
    turn: 'first' | 'next',
  ): Promise<'end' | 'more'> {
    await this.run.step('request');
    const { writer, followers } = part;
    const { what, maxBytes, checksum } = this.spec;
    const signal = AbortSignal.any([this.run.signal, watch.signal]);
    const answer = await watch.waitFor(this.remote.read(this.#position, signal));
    if (!this.#continues(answer)) {
      await this.#startOver(part, checkpoints, 'the source has changed, or sends the whole file only');
      // An answer that starts again after a part counts as a failed attempt: otherwise there could
      // be one for each part, without end.
      if (answer.offset > 0n || turn === 'next') {
        answer.discard();
        throw otherContent(what, answer.offset);
      }
    }
    const from = this.#position.offset;
    const sink = new SparseSink(writer, from);
    const count = this.#counter(sink, answer);
    try {
      await this.#accept(answer);
      this.run.retry(undefined);
      const page = answer.webPage && checksum === undefined && from === 0n;
      let shownAt = 0;
      for await (const piece of waitedFor(page ? withoutWebPage(answer.body, what) : answer.body, watch)) {
        watch.came(piece.length);
        this.#cameBytes += piece.length;
        await this.#pace.reach(this.#cameBytes, signal);
        if (this.#position.totalBytes === undefined) await this.#makeRoom(sink, piece.length);
        else this.#assertFits(sink, piece.length);
        const full = sink.add(piece);
        if (!full && performance.now() - shownAt < SHOW_MS) continue;
        if (full) await sink.pass();
        shownAt = performance.now();
        count();
        assertWithin(this.#position.offset, maxBytes, what);
        followers.reach(sink.writtenBytes);
        if (this.#canGoOn()) checkpoints.reached({ ...this.#position, offset: sink.writtenBytes });
        this.#show();
      }
    } finally {
      count();
      await sink.flush();
      followers.reach(sink.writtenBytes);
      this.#zeroBytes += sink.zeroBytes;
      this.#show();
    }
    assertWithin(this.#position.offset, maxBytes, what);
    return this.#endOf(answer, from);
  }

  /** What the end of a body means. */
  #endOf({ ends }: SourceAnswer, from: bigint): 'end' | 'more' {
    const { offset, totalBytes } = this.#position;
    if (offset === totalBytes) return 'end';
    const { what } = this.spec;
    if (ends === 'part' && offset > from && offset < (totalBytes ?? offset + 1n)) {
      if (this.#canGoOn()) return 'more';
      throw unprovedParts(what);
    }
    if (totalBytes === undefined && ends !== 'part') {
      this.#position = { ...this.#position, totalBytes: offset };
      return 'end';
    }
    throw endedEarly(what, offset, totalBytes);
  }

  /** Space was reserved for the announced length, and no more. */
  #assertFits({ takenBytes }: SparseSink, more: number): void {
    const { totalBytes } = this.#position;
    if (totalBytes === undefined || takenBytes + BigInt(more) <= totalBytes) return;
    // It is unknown which of the bytes are too many.
    this.#resumable = false;
    throw tooMuch(this.spec.what, totalBytes);
  }

  /** For a body of unknown length. */
  async #makeRoom({ takenBytes, zeroBytes }: SparseSink, more: number): Promise<void> {
    await this.#room.upTo(takenBytes - zeroBytes - this.#zeroBytes + BigInt(more));
  }

  /** Counts the data taken and received since the last count. */
  #counter(sink: SparseSink, { receivedBytes }: SourceAnswer): () => void {
    let counted = 0;
    return () => {
      const received = receivedBytes();
      this.ports.onNetworkBytes(received - counted);
      this.#networkBytes += BigInt(received - counted);
      counted = received;
      this.#position = { ...this.#position, offset: sink.takenBytes };
    };
  }

  #continues({ offset, validator, totalBytes }: SourceAnswer): boolean {
    const { offset: here, validator: ours, totalBytes: total } = this.#position;
    if (offset !== here) return false;
    if (here === 0n) return true;
    if (totalBytes !== undefined && total !== undefined && totalBytes !== total) return false;
    if (ours !== undefined) return validator === ours;
    // There was no validator at the start, so only the checksum can prove the content.
    this.#resumed = true;
    return this.spec.checksum !== undefined;
  }

  async #accept({ validator, freshness, resumable, ends, totalBytes: announcedBytes }: SourceAnswer): Promise<void> {
    const { offset, totalBytes: before } = this.#position;
    const { lengthBytes, checksum, what } = this.spec;
    [this.#unproved, this.#outdated] = [false, false];
    this.#resumable = resumable;
    // An announced length is valid until another content begins.
    const totalBytes = announcedBytes ?? before ?? lengthBytes;
    this.#position = {
      offset,
      guarded: this.spec.guarded,
      ...(validator === undefined ? {} : { validator }),
      ...(freshness === undefined ? {} : { freshness }),
      ...(totalBytes === undefined ? {} : { totalBytes }),
    };
    if (lengthBytes !== undefined && totalBytes !== lengthBytes) throw otherLength(what, lengthBytes, totalBytes);
    if (totalBytes === undefined) {
      if (ends === 'line' && checksum === undefined) throw noEnd(what);
      return;
    }
    assertWithin(totalBytes, this.spec.maxBytes, what);
    await this.#room.forAll(totalBytes);
  }

  /** Whether a later request can resume here: it is the same content, or the checksum will tell. */
  #canGoOn(): boolean {
    return this.#resumable && (this.#position.validator !== undefined || this.spec.checksum !== undefined);
  }

  async #agrees(file: FileDigest): Promise<boolean> {
    const { checksum, what } = this.spec;
    const digest = await orAborted(file.digest(), this.run.signal);
    this.#computed = { algorithm: file.algorithm, digest };
    if (checksum === undefined || checksum.digest === digest) return true;
    // The first mismatch may be a source that changed; a repeated one means that the checksum is of
    // something else.
    if (this.#resumed && this.#mixed === 0) return false;
    throw new HostlerError(
      'CHECKSUM_MISMATCH',
      `${what} has the ${checksum.algorithm} ${digest}, not ${checksum.digest}`,
      {
        facts: { source: what, expected: checksum.digest, computed: digest },
      },
    );
  }

  async #startOver({ followers }: OpenPart, checkpoints: Checkpoints, why: string): Promise<void> {
    await checkpoints.restart();
    if (this.#position.offset > 0n)
      this.run.warn({ reason: 'TRANSFER_RESTARTED', message: `${this.spec.what}: ${why}; it begins again` });
    this.#position = { offset: 0n };
    [this.#resumed, this.#unproved, this.#outdated] = [false, false, false];
    this.#zeroBytes = 0n;
    followers.restart();
    await this.file.truncate(0n);
  }

  async #end(writer: FileWriter): Promise<Transferred> {
    const { offset, freshness } = this.#position;
    this.#show();
    await this.file.truncate(offset);
    // So that a crash in the following steps does not repeat the transfer.
    await new Checkpoints(writer, this.run, offset).now({ ...this.#position, totalBytes: offset });
    this.#room.release();
    if (this.#computed === undefined) throw new HostlerError('BUG', 'a transfer without a digest');
    return {
      lengthBytes: offset,
      networkBytes: this.#networkBytes,
      zeroBytes: this.#zeroBytes,
      checksum: this.#computed,
      ...(freshness === undefined ? {} : { freshness }),
    };
  }

  /** Zeros are received over the network too: they count as moved, and only need no space. */
  #show(): void {
    const { offset: doneBytes, totalBytes } = this.#position;
    this.run.progress({ doneBytes, skippedBytes: 0n, ...(totalBytes === undefined ? {} : { totalBytes }) });
  }

  #backoffMs(failures: number, retryAfterMs = 0): number {
    const { backoffMs, maxBackoffMs } = this.ports.rules;
    return Math.min(maxBackoffMs, Math.max(retryAfterMs, backoffMs * 2 ** (failures - 1)));
  }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
