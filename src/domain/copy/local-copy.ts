import { HostlerError, unsupported } from '../model/errors.js';
import { movedOf } from '../verbs/moved.js';
import { rest, scale } from '../model/numbers.js';
import type { CopyResult, Plan } from '../operations/results.js';
import type { Resolution, Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import { rawFacts } from '../images/raw-facts.js';
import { assertUnchanged } from '../images/unchanged.js';
import type { CopySpec } from './copy-spec.js';
import { assertLengthWithinLimits, assertSafeForTrustedRoot } from './untrusted-source.js';
import type { Handle, Resolved } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';
import type { ImageTool, Layer, Reflink, ToolRun } from '../ports/tools.js';

export interface LocalCopyPorts {
  readonly tool: ImageTool;
  readonly files: Files;
  readonly reflink: Reflink;
  readonly reader: ImageReader;
}

/** How the bytes are copied. */
interface EngineChoice {
  readonly engine: 'REFLINK' | 'LOCAL_SPARSE';
  /** Inside a cluster, a copy without reading is shown under another name. */
  readonly shown?: string;
  readonly why: string;
}

/** The plan of `copyOnHost`. */
export async function planOnHost(
  spec: CopySpec,
  { file, target }: Resolution,
  tool: ToolRun,
  ports: LocalCopyPorts,
): Promise<Plan> {
  const source = file(spec.source);
  const { directory } = target(spec.target);
  const { engine, shown, why } = await choose(spec, source, directory, ports.reflink);
  const moveBytes = engine === 'REFLINK' ? 0n : await dataOf(source, ports.tool, tool);
  const freeBytes = await ports.files.freeBytes(directory);
  return { kind: 'plan', method: shown ?? engine, why, moveBytes, needBytes: moveBytes, freeBytes };
}

/** Copies on this host. A crash leaves nothing under the final name. */
export async function copyOnHost(spec: CopySpec, run: Run, ports: LocalCopyPorts): Promise<CopyResult> {
  run.phase('INSPECTING');
  // The operation may have waited in the queue since the source was resolved.
  const source = await ports.files.refresh(run.file(spec.source));
  assertLengthWithinLimits(source, source, ports.reader);
  const wanted = await choose(spec, source, run.target(spec.target).directory, ports.reflink);
  const part = await run.part(spec.target, spec);
  const choice = wanted.engine === 'REFLINK' ? await clone(spec, source, part, wanted, run, ports) : wanted;
  const readBytes = choice.engine === 'LOCAL_SPARSE' ? await copySparse(spec, source, part, run, ports.tool) : 0n;
  if (spec.verify) await verify(source, part, run, ports.tool);
  const { handle, name } = part;
  await assertSafeForTrustedRoot(
    { address: spec.source, handle, name },
    source,
    run.target(spec.target),
    ports.reader,
    run,
  );
  if (!spec.allowInUse) await assertUnchanged([source], ports.files);
  await run.step('seal');
  const made = await part.seal();
  const moved = movedOf(made, readBytes, source.lengthBytes);
  run.progress({ doneBytes: moved.movedBytes, totalBytes: moved.movedBytes, skippedBytes: moved.skippedBytes });
  const result: CopyResult = {
    kind: 'copy',
    target: spec.target,
    lengthBytes: made.lengthBytes,
    allocatedBytes: made.allocatedBytes,
    engine: choice.shown ?? choice.engine,
    why: choice.why,
    ...moved,
    verified: spec.verify,
  };
  return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
}

async function choose(
  { engine, bytesPerSecond }: CopySpec,
  source: Resolved,
  directory: Handle,
  reflink: Reflink,
): Promise<EngineChoice> {
  if (engine === 'LOCAL_SPARSE') return { engine, why: 'LOCAL_SPARSE was asked for' };
  if (engine === 'REFLINK') return { engine, why: 'REFLINK was asked for' };
  // A clone moves no bytes, so a rate limit does not forbid it.
  const objection = await reflink.objection(source, directory);
  if (objection === undefined) return { engine: 'REFLINK', ...reflink.describe(source) };
  return sparseWay(objection, bytesPerSecond);
}

function sparseWay(objection: string, bytesPerSecond: bigint | undefined): EngineChoice {
  const limit = bytesPerSecond === undefined ? '' : `, at most ${String(bytesPerSecond)} bytes a second`;
  return {
    engine: 'LOCAL_SPARSE',
    why: `REFLINK was passed over: ${objection}; the extents are read and written on this host${limit}`,
  };
}

/**
 * Only an attempt shows whether the filesystem can clone: if not, the data is copied, unless
 * REFLINK was requested.
 */
async function clone(
  spec: CopySpec,
  source: Resolved,
  part: StagedImage,
  wanted: EngineChoice,
  run: Run,
  { reflink }: LocalCopyPorts,
): Promise<EngineChoice> {
  run.phase('CLONING');
  await run.step('clone');
  const done = await reflink.clone(source, part, run.tool());
  if (done === true) return wanted;
  if (spec.engine === 'REFLINK')
    throw unsupported(`REFLINK is not possible here: ${done.refused}`, { engine: 'REFLINK' });
  return sparseWay(done.refused, spec.bytesPerSecond);
}

/** Copies by reading and writing extents. Returns the number of bytes. */
export async function copySparse(
  spec: Pick<CopySpec, 'target' | 'preserveAllocation' | 'allowInUse' | 'bytesPerSecond'>,
  source: Resolved,
  part: StagedImage,
  run: Run,
  tool: ImageTool,
): Promise<bigint> {
  const totalBytes = await dataOf(source, tool, run.tool());
  const skippedBytes = rest(source.lengthBytes, totalBytes);
  await run.reserve(spec.target, spec.preserveAllocation ? source.lengthBytes : totalBytes);
  run.phase('COPYING');
  run.progress({ doneBytes: 0n, totalBytes, skippedBytes });
  await run.step('copy');
  const keepsAllocation = spec.preserveAllocation && source.allocatedBytes >= source.lengthBytes;
  await tool.convert(
    [asBytes(source)],
    part,
    {
      format: 'raw',
      compress: false,
      preallocation: keepsAllocation ? 'falloc' : 'off',
      // Measured: as fast as the page cache at its best, and independent of other dirty pages.
      direct: await part.canWriteDirectly(),
      shared: spec.allowInUse,
      ...(spec.bytesPerSecond === undefined ? {} : { bytesPerSecond: spec.bytesPerSecond }),
    },
    run.tool((fraction, ahead) => {
      run.progress({ doneBytes: scale(totalBytes, fraction, ahead), totalBytes, skippedBytes });
    }),
  );
  run.progress({ doneBytes: totalBytes, totalBytes, skippedBytes });
  // qemu's raw driver rounds up to 512.
  await part.truncate(source.lengthBytes);
  return totalBytes;
}

async function verify(source: Resolved, part: StagedImage, run: Run, tool: ImageTool): Promise<void> {
  run.phase('VERIFYING');
  await run.step('verify');
  if (await tool.equal(source, part, run.tool())) return;
  throw new HostlerError('CHECKSUM_MISMATCH', `the copy of ${source.address} differs from it`, {
    facts: { path: source.address },
  });
}

/**
 * The file as raw bytes: as such even an untrusted file may be read in place, with the limits for
 * untrusted images.
 */
function asBytes(file: Resolved): Layer {
  return { file, format: 'raw', facts: rawFacts(file), ...(file.trusted ? {} : { untrusted: 'quarantined' }) };
}

/**
 * How many bytes of a file have to be read: holes cost nothing. Some FUSE and network filesystems
 * report no allocated blocks; then the extents are queried.
 */
async function dataOf(file: Resolved, tool: ImageTool, run: ToolRun): Promise<bigint> {
  const { allocatedBytes, lengthBytes } = file;
  if (allocatedBytes > 0n || lengthBytes === 0n) return allocatedBytes < lengthBytes ? allocatedBytes : lengthBytes;
  let sum = 0n;
  for await (const { data, lengthBytes: bytes } of tool.map([asBytes(file)], run)) if (data) sum += bytes;
  return sum < lengthBytes ? sum : lengthBytes;
}
