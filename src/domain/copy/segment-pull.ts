import type { Digests } from '../verbs/digest-image.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { rest, scale } from '../model/numbers.js';
import type { Run } from '../operations/verb.js';
import type { Clock, Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';
import type { FileWriter, Transfers } from '../ports/transfers.js';
import { sleepOrAborted } from '../model/async.js';
import { whileGrowing } from '../operations/resources/while-growing.js';
import type { FarExport, FarSource, NbdTool, Segment } from './agents.js';
import { dataOf, dataExtents } from './far-extents.js';
import { cutSegments, parseRanges, rangesText, segmentSize, withRange, type Range } from './segments.js';
import type { FarSpec } from './copy-spec.js';
import { assertLengthWithinLimits } from './untrusted-source.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { StagedImage } from '../ports/targets.js';

export interface NbdPullPorts {
  readonly nbd: NbdTool;
  readonly transfers: Transfers;
  readonly files: Files;
  readonly reader: ImageReader;
  readonly digests: Digests;
  readonly clock: Clock;
  readonly pulls: PullConfig;
}

export interface PullConfig {
  /** Data of a segment: for each stream, at most this much is moved again after a crash. */
  readonly segmentBytes: bigint;
  readonly streams: number;
  /**
   * How long a copy waits for a peer that is gone, before it fails and its data is kept for the
   * next call.
   */
  readonly patienceMs: number;
}

/** A checkpoint holds no more ranges than this. */
const MAX_SEGMENTS = 4096n;
const AGAIN_MS = 1000;
const LET_GO_MS = 3000;
/** Temporary failures: the peer restarts, or the connection is interrupted. */
export const TRANSPORT: readonly Reason[] = ['REMOTE_UNREACHABLE', 'STALLED', 'SHUTTING_DOWN'];
export const MAY_PASS: readonly Reason[] = [...TRANSPORT, 'TOOL_FAILED', 'TOO_MANY_OPERATIONS'];

export interface Counts {
  readonly lengthBytes: bigint;
  readonly dataBytes: bigint;
  readonly movedBytes: bigint;
}

/** The source existed before: not found now means that it was removed. */
export function goneIsChanged({ source }: Pick<FarSpec, 'source'>, error: unknown): HostlerError {
  const failure = asHostlerError(error);
  if (failure.reason !== 'IMAGE_NOT_FOUND') return failure;
  const facts = { path: source };
  return new HostlerError('SOURCE_CHANGED', `${source} was removed while it was read`, { facts, cause: error });
}

/** The transfer itself, through one export after the other if agents or connections fail. */
export class Pull {
  /**
   * Set if only the source's times changed, since an earlier attempt or during the transfer: it was
   * touched, or written to. The digests decide.
   */
  suspect: 'before' | 'meanwhile' | undefined;
  #done: Range[] = [];
  #moved = 0n;

  constructor(
    private readonly spec: FarSpec,
    private readonly run: Run,
    private readonly part: StagedImage,
    private readonly agent: FarSource,
    private readonly ports: NbdPullPorts,
  ) {}

  /** Resolves when every byte has arrived and is durable. */
  async untilWhole(checkpoint: Readonly<Record<string, string>>): Promise<Counts> {
    let { fingerprint } = checkpoint;
    this.#done = parseRanges(checkpoint['done'] ?? '');
    if (checkpoint['doubt'] !== undefined) this.suspect = 'before';
    let lastGood = this.ports.clock();
    let wasThere = false;
    for (;;) {
      const before = this.#done.length === 0 ? 0n : covered(this.#done);
      try {
        const source = await this.#open();
        wasThere = true;
        if (source.fingerprint !== fingerprint) await this.#startFrom(source.fingerprint, fingerprint);
        ({ fingerprint } = source);
        return await this.#from(source).catch((error: unknown) => this.#letGo(source, error));
      } catch (error) {
        this.run.signal.throwIfAborted();
        if (covered(this.#done) > before) lastGood = this.ports.clock();
        const failure = wasThere ? goneIsChanged(this.spec, error) : asHostlerError(error);
        const patient =
          MAY_PASS.includes(failure.reason) && this.ports.clock() - lastGood < this.ports.pulls.patienceMs;
        if (!patient) throw failure;
        await sleepOrAborted(AGAIN_MS, this.run.signal);
      }
    }
  }

  #open(): Promise<FarExport> {
    return this.agent.openExport(this.spec.source, this.spec.allowInUse, this.run.signal);
  }

  /** Closes the export and throws the error. */
  async #letGo({ name }: FarExport, error: unknown): Promise<never> {
    // The peer itself closes an unused export.
    await this.agent.closeExport(name, AbortSignal.timeout(LET_GO_MS)).catch(() => undefined);
    throw error;
  }

  /** Discards all received data. */
  async forget(): Promise<void> {
    if (this.#done.length > 0) await this.part.truncate(0n);
    this.#done = [];
    this.suspect = undefined;
  }

  /**
   * If the source is another file or was changed, the received data does not count, or is suspect.
   */
  async #startFrom(fingerprint: string, before: string | undefined): Promise<void> {
    if (before !== undefined && onlyTimesDiffer(fingerprint, before) && this.#done.length > 0) this.suspect = 'before';
    else await this.forget();
    await this.#checkpoint(fingerprint);
  }

  async #checkpoint(fingerprint: string): Promise<void> {
    const suspect = this.suspect === undefined ? {} : { doubt: this.suspect };
    await this.run.checkpoint({ fingerprint, done: rangesText(this.#done), ...suspect });
  }

  /** Whether the source may have changed during the transfer. */
  async #changed({ fingerprint }: FarExport, error: unknown): Promise<void> {
    if (asHostlerError(error).reason !== 'SOURCE_CHANGED') throw error;
    if (this.spec.allowInUse) return;
    const now = await this.#open().catch(() => undefined); // gone, or another file
    if (now === undefined) throw error;
    await this.agent.closeExport(now.name, this.run.signal);
    if (!onlyTimesDiffer(now.fingerprint, fingerprint)) throw error;
    this.suspect = 'meanwhile';
  }

  async #from(source: FarExport): Promise<Counts> {
    const { run, spec, ports } = this;
    const { lengthBytes, fingerprint } = source;
    assertLengthWithinLimits({ address: spec.source, lengthBytes }, this.agent, ports.reader);
    const fullBytes = roundUp(lengthBytes, SECTOR_BYTES);
    const writer = await ports.transfers.writer(this.part, spec.target);
    try {
      const mapped = this.agent.map(spec.source, run.signal);
      const extents = lengthBytes === 0n ? [] : await dataExtents(mapped, { lengthBytes, host: spec.remote.host });
      const dataBytes = dataOf(extents);
      const size = segmentSize(dataBytes, ports.pulls.segmentBytes, MAX_SEGMENTS);
      const segments = cutSegments(extents, this.#done, fullBytes, size);
      const left = segments.reduce((sum, segment) => sum + segment.dataBytes, 0n);
      // Another engine may have left data under this name where the source has holes.
      if (this.#done.length === 0) await this.part.truncate(0n);
      await this.part.truncate(fullBytes);
      run.phase('COPYING');
      const progress = new PullProgress(run, dataBytes, lengthBytes, dataBytes - left);
      // The part's allocated bytes are already counted as taken.
      const takenBytes = () => ports.files.allocatedBytes(this.part);
      const growth = { shareBytes: dataBytes, mostBytes: fullBytes, takenBytes };
      await whileGrowing(run, spec.target, growth, (signal) =>
        this.#all(segments, source, fingerprint, { writer, progress, signal }),
      );
      await this.agent.closeExport(source.name, run.signal).catch((error: unknown) => this.#changed(source, error));
      return { lengthBytes, dataBytes, movedBytes: this.#moved };
    } finally {
      await writer.close();
    }
  }

  /** Moves several segments at a time; the first failure ends the others. */
  async #all(
    segments: readonly Segment[],
    source: FarExport,
    fingerprint: string,
    { writer, progress, signal: ends }: Moving,
  ): Promise<void> {
    const { run, spec, ports, part } = this;
    const queue = [...segments];
    const stop = new AbortController();
    const streams = spec.bytesPerSecond === undefined ? ports.pulls.streams : 1;
    const rate = spec.bytesPerSecond === undefined ? {} : { bytesPerSecond: spec.bytesPerSecond };
    const options = { ...rate, direct: await part.canWriteDirectly() };
    const work = async () => {
      for (let segment = queue.shift(); segment !== undefined; segment = queue.shift()) {
        const each = segment;
        await run.step('segment');
        const tool = run.tool((fraction, ahead) => progress.show(each, fraction, ahead));
        const signal = AbortSignal.any([ends, stop.signal]);
        if (each.dataBytes > 0n) await ports.nbd.pull(source, each, part, options, { ...tool, signal });
        await writer.sync();
        this.#moved += each.dataBytes;
        this.#done = withRange(this.#done, each);
        await this.#checkpoint(fingerprint);
        progress.show(each, 1);
      }
    };
    const workers = Array.from({ length: Math.max(1, Math.min(streams, segments.length)) }, () =>
      work().catch((error: unknown) => {
        stop.abort(asHostlerError(error));
        throw error;
      }),
    );
    const ended = await Promise.allSettled(workers);
    const failed = ended.find((end) => end.status === 'rejected');
    if (failed !== undefined) throw asHostlerError(stop.signal.aborted ? stop.signal.reason : failed.reason);
  }
}

interface Moving {
  readonly writer: FileWriter;
  readonly progress: PullProgress;
  /** Aborted with the operation, and when there is no more space. */
  readonly signal: AbortSignal;
}

/** Bytes of data that have arrived, in complete and started segments. */
class PullProgress {
  readonly #parts = new Map<Segment, bigint>();

  constructor(
    private readonly run: Run,
    private readonly dataBytes: bigint,
    private readonly lengthBytes: bigint,
    private readonly beforeBytes: bigint,
  ) {
    this.#say();
  }

  show(segment: Segment, fraction: number, ahead?: bigint): void {
    this.#parts.set(segment, scale(segment.dataBytes, fraction, ahead));
    this.#say();
  }

  #say(): void {
    const moved = [...this.#parts.values()].reduce((sum, bytes) => sum + bytes, 0n);
    const skippedBytes = rest(this.lengthBytes, this.dataBytes);
    this.run.progress({ doneBytes: this.beforeBytes + moved, totalBytes: this.dataBytes, skippedBytes });
  }
}

function covered(ranges: readonly Range[]): bigint {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0n);
}

/** Fingerprints begin with the file's identity and length; the times follow. */
function onlyTimesDiffer(one: string, other: string): boolean {
  const file = (fingerprint: string) => fingerprint.split(':', 3).join(':');
  return one !== other && file(one) === file(other);
}
