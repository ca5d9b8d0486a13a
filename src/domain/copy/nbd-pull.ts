import type { Stretch } from '../block-digest.js';
import { digestShown, type Digests } from '../digest-image.js';
import { HostlerError, asHostlerError, type Reason } from '../errors.js';
import type { CopyResult } from '../operations/record.js';
import type { Run } from '../operations/verb.js';
import type { Clock, Files, Part, Resolved } from '../ports.js';
import type { ImageReader } from '../read-image.js';
import { SECTOR_BYTES, roundUp } from '../size.js';
import type { FileWriter, Transfers } from '../transfer/ports.js';
import { sleepOrAborted } from '../waiting.js';
import type { FarAgents, FarExport, FarSource, NbdTool, Segment } from './agents.js';
import type { FarEngine, FarSpec } from './copy-image.js';
import { cutSegments, parseRanges, rangesText, segmentSize, withRange, type Range } from './segments.js';

export type NbdCopyPorts = NbdPullPorts & { readonly agents: FarAgents };

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
  /** Data of a segment: what is moved again after a crash, at the most, for each stream. */
  readonly segmentBytes: bigint;
  readonly streams: number;
  /** So long a copy waits for a far agent that has gone, before it fails and is kept for the next call. */
  readonly patienceMs: number;
}

/** A checkpoint holds no more ranges than this. */
const MAX_SEGMENTS = 4096n;
const AGAIN_MS = 1000;
const LET_GO_MS = 3000;
/** What may pass: the far agent starts again, the line comes back. */
export const TRANSPORT: readonly Reason[] = ['REMOTE_UNREACHABLE', 'STALLED', 'SHUTTING_DOWN'];
const MAY_PASS: readonly Reason[] = [...TRANSPORT, 'TOOL_FAILED'];

/** Pulls a file from another agent. */
export async function pullByAgent(spec: FarSpec, run: Run, ports: NbdCopyPorts): Promise<CopyResult> {
  run.phase('INSPECTING');
  const agent = await ports.agents.connect(spec.remote.host, run.caller.identity);
  return pullByNbd(spec, run, ports, agent, 'NBD_TLS', ({ lengthBytes, dataBytes }) =>
    whyNbd(spec, lengthBytes, dataBytes),
  );
}

/** Pulls a file: segments, several at a time, each durable before it counts. Lets go of the source. */
export async function pullByNbd(
  spec: FarSpec,
  run: Run,
  ports: NbdPullPorts,
  agent: FarSource,
  engine: FarEngine,
  why: (counts: Counts) => string,
): Promise<CopyResult> {
  try {
    const { part, checkpoint } = await run.resumablePart(spec.target, spec);
    const pull = new Pull(spec, run, part, agent, ports);
    const counts = await pull.untilWhole(checkpoint ?? {});
    const made = await finish(spec, run, part, agent, counts, ports);
    const result: CopyResult = {
      kind: 'copy',
      target: spec.target,
      lengthBytes: made.lengthBytes,
      allocatedBytes: made.allocatedBytes,
      engine,
      why: why(counts),
      movedBytes: counts.movedBytes,
      skippedBytes: counts.lengthBytes - counts.dataBytes,
      verified: spec.verify,
    };
    return await run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
  } finally {
    await agent.close();
  }
}

export function whyNbd({ engine, remote: { host } }: FarSpec, lengthBytes: bigint, dataBytes: bigint): string {
  if (engine === 'NBD_TLS') return 'NBD_TLS was asked for';
  return `${host} has an agent: ${dataShare(lengthBytes, dataBytes)} is pulled over NBD with TLS, and goes on when it breaks`;
}

/** How much of a file is data, in words. */
export function dataShare(lengthBytes: bigint, dataBytes: bigint): string {
  if (dataBytes >= lengthBytes) return 'the file, which has no holes,';
  return `the data, ${String((dataBytes * 100n) / lengthBytes)} % of the file, the rest being holes,`;
}

interface Counts {
  readonly lengthBytes: bigint;
  readonly dataBytes: bigint;
  readonly movedBytes: bigint;
}

/** Exact, verified, and nothing that a stranger must not bring. */
async function finish(
  spec: FarSpec,
  run: Run,
  part: Part,
  agent: FarSource,
  { lengthBytes }: Counts,
  { files, digests, reader }: NbdPullPorts,
): Promise<Resolved> {
  // qemu's raw driver rounds up to 512.
  await part.truncate(lengthBytes);
  const target = run.target(spec.target);
  if (!agent.trusted && target.trusted)
    await reader.foreign({ address: spec.target, handle: part.handle, name: part.name }, undefined);
  await run.step('seal');
  const made = await part.seal();
  if (!spec.verify) return made;
  run.phase('VERIFYING');
  await run.step('verify');
  const [here, there] = await Promise.all([
    digestShown(await files.refresh(made), run, digests),
    agent.digest(spec.source, run.signal),
  ]);
  if (here === there) return made;
  throw new HostlerError('CHECKSUM_MISMATCH', `the copy of ${spec.source} digests to ${here}, the source to ${there}`, {
    facts: { path: spec.target, here, there },
  });
}

/** The moving itself, from one export after the other when agents or lines break. */
class Pull {
  #done: Range[] = [];
  #moved = 0n;

  constructor(
    private readonly spec: FarSpec,
    private readonly run: Run,
    private readonly part: Part,
    private readonly agent: FarSource,
    private readonly ports: NbdPullPorts,
  ) {}

  /** Resolved when every byte is here and durable. */
  async untilWhole(checkpoint: Readonly<Record<string, string>>): Promise<Counts> {
    let { fingerprint } = checkpoint;
    this.#done = parseRanges(checkpoint['done'] ?? '');
    let lastGood = this.ports.clock();
    for (;;) {
      const before = this.#done.length === 0 ? 0n : covered(this.#done);
      try {
        const source = await this.#open();
        if (source.fingerprint !== fingerprint) await this.#startOver(source.fingerprint, fingerprint !== undefined);
        ({ fingerprint } = source);
        return await this.#from(source).catch((error: unknown) => this.#letGo(source, error));
      } catch (error) {
        this.run.signal.throwIfAborted();
        if (covered(this.#done) > before) lastGood = this.ports.clock();
        const failure = asHostlerError(error);
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

  /** Whether or not the far agent still hears it: an export that nobody uses is closed there too. */
  async #letGo({ name }: FarExport, error: unknown): Promise<never> {
    await this.agent.closeExport(name, AbortSignal.timeout(LET_GO_MS)).catch(() => undefined);
    throw error;
  }

  /** Another file, or it was changed: nothing of what came before counts. */
  async #startOver(fingerprint: string, hadAny: boolean): Promise<void> {
    if (hadAny && this.#done.length > 0) await this.part.truncate(0n);
    this.#done = [];
    await this.run.checkpoint({ fingerprint, done: '' });
  }

  async #from(source: FarExport): Promise<Counts> {
    const { run, spec, ports } = this;
    const { lengthBytes, fingerprint } = source;
    const fullBytes = roundUp(lengthBytes, SECTOR_BYTES);
    const writer = await ports.transfers.writer(this.part, spec.target);
    try {
      const stretches: Stretch[] = [];
      if (lengthBytes > 0n)
        for await (const stretch of this.agent.map(spec.source, run.signal)) stretches.push(stretch);
      const dataBytes = dataOf(stretches);
      const size = segmentSize(dataBytes, ports.pulls.segmentBytes, MAX_SEGMENTS);
      const segments = cutSegments(stretches, this.#done, fullBytes, size);
      const left = segments.reduce((sum, segment) => sum + segment.dataBytes, 0n);
      await run.reserve(spec.target, left);
      await this.part.truncate(fullBytes);
      run.phase('COPYING');
      const progress = new PullProgress(run, dataBytes, lengthBytes, dataBytes - left);
      await this.#all(segments, source, fingerprint, writer, progress);
      await this.agent.closeExport(source.name, run.signal).catch((error: unknown) => {
        if (!spec.allowInUse || asHostlerError(error).reason !== 'SOURCE_CHANGED') throw error;
      });
      return { lengthBytes, dataBytes, movedBytes: this.#moved };
    } finally {
      await writer.close();
    }
  }

  /** Several at a time; the first failure ends the others. */
  async #all(
    segments: readonly Segment[],
    source: FarExport,
    fingerprint: string,
    writer: FileWriter,
    progress: PullProgress,
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
        const tool = run.tool((fraction) => progress.show(each, fraction));
        const signal = AbortSignal.any([run.signal, stop.signal]);
        if (each.dataBytes > 0n) await ports.nbd.pull(source, each, part, options, { ...tool, signal });
        await writer.sync();
        this.#moved += each.dataBytes;
        this.#done = withRange(this.#done, each);
        await run.checkpoint({ fingerprint, done: rangesText(this.#done) });
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

/** Bytes of data that are here, of segments whole and begun. */
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

  show(segment: Segment, fraction: number): void {
    const bytes = (segment.dataBytes * BigInt(Math.round(fraction * 1000))) / 1000n;
    this.#parts.set(segment, bytes);
    this.#say();
  }

  #say(): void {
    const moved = [...this.#parts.values()].reduce((sum, bytes) => sum + bytes, 0n);
    const skippedBytes = this.lengthBytes > this.dataBytes ? this.lengthBytes - this.dataBytes : 0n;
    this.run.progress({ doneBytes: this.beforeBytes + moved, totalBytes: this.dataBytes, skippedBytes });
  }
}

function dataOf(stretches: readonly Stretch[]): bigint {
  return stretches.reduce((sum, { data, lengthBytes }) => (data ? sum + lengthBytes : sum), 0n);
}

function covered(ranges: readonly Range[]): bigint {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0n);
}
