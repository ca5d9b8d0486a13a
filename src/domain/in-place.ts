/** What all verbs have in common that change an image where it is. */
import type { Eraser, ImageChanger, Written } from './change-ports.js';
import { describeFile } from './describe-image.js';
import { HostlerError } from './errors.js';
import type { ImageInfo } from './image-info.js';
import type { ImageResult, Plan } from './operations/record.js';
import type { Run } from './operations/verb.js';
import type { Chain, Files, ImageTool, Layer, Reflink, ToolRun } from './ports.js';
import type { ImageReader } from './read-image.js';

export interface ChangePorts {
  readonly changer: ImageChanger;
  readonly eraser: Eraser;
  readonly files: Files;
  readonly reader: ImageReader;
  readonly reflink: Reflink;
  readonly tool: ImageTool;
}

export interface Change {
  readonly chain: Chain;
  /** The layer that is written. */
  readonly written: Layer;
  readonly safeCopy: boolean;
  /** A cancel in the middle does no harm. */
  readonly cancellable: boolean;
  readonly work: Omit<ImageResult, 'kind' | 'info' | 'changed'>;
}

/**
 * Changes an image: marked as touched until that has succeeded, or, with `safeCopy`, on a reflink that takes its name when it is whole.
 * The result describes the layer that was written.
 */
export async function changeInPlace(
  { chain, written, safeCopy, cancellable, work }: Change,
  run: Run,
  ports: ChangePorts,
  apply: (image: Written) => Promise<void>,
): Promise<ImageResult> {
  const { file, format } = written;
  if (!safeCopy) {
    await run.touch(file);
    run.phase('MODIFYING', cancellable);
    await run.step('change');
    await apply({ chain });
    await run.step('sync');
    await ports.files.sync(file);
    return { kind: 'image', info: await infoNow(written, ports), changed: true, ...work };
  }
  run.phase('CLONING');
  const objection = await ports.reflink.objection(file, run.target(file.address).directory);
  if (objection !== undefined) throw cannotCopy(file.address, objection);
  const part = await run.part(file.address, { overwrite: true, attributes: {} });
  await run.step('clone');
  const cloned = await ports.reflink.clone(file, part, run.tool());
  if (cloned !== true) throw cannotCopy(file.address, cloned.refused);
  run.phase('MODIFYING');
  await run.step('change');
  await apply({ chain, copy: part });
  await run.step('seal');
  const made = await part.seal();
  const info = describeFile(made, await ports.reader.facts(made, format), false);
  const result: ImageResult = { kind: 'image', info, changed: true, ...work };
  return run.commit('COMMITTING', { address: file.address, made, result }, () => part.publish());
}

/** Nothing is to be done; a mark that an earlier attempt left is taken away all the same. */
export async function unchanged(
  written: Layer,
  why: string,
  run: Run,
  ports: Pick<ChangePorts, 'files' | 'reader'>,
): Promise<ImageResult> {
  await run.touch(written.file);
  const work = { method: 'unchanged', why, movedBytes: 0n, skippedBytes: 0n };
  return { kind: 'image', info: await infoNow(written, ports), changed: false, ...work };
}

export async function infoNow(
  { file, format }: Layer,
  { files, reader }: Pick<ChangePorts, 'files' | 'reader'>,
): Promise<ImageInfo> {
  const now = await files.refresh(file);
  return describeFile(now, await reader.facts(now, format), false);
}

/** A plan for something that needs so much space beside what is there. */
export async function planned(
  method: string,
  why: string,
  { file }: Layer,
  needBytes: bigint,
  { files }: Pick<ChangePorts, 'files'>,
): Promise<Plan> {
  return { kind: 'plan', method, why, needBytes, freeBytes: await files.freeBytes(file.handle) };
}

/** Data of the guest's disk that comes from these layers. */
export async function dataFrom(
  chain: Chain,
  wanted: (depth: number) => boolean,
  tool: ImageTool,
  run: ToolRun,
): Promise<bigint> {
  let sum = 0n;
  for await (const { data, zero, lengthBytes, depth } of tool.map(chain, run))
    if (data && !zero && wanted(depth)) sum += lengthBytes;
  return sum;
}

function cannotCopy(path: string, why: string): HostlerError {
  return new HostlerError('UNSUPPORTED_BY_BACKEND', `a safe copy of ${path} cannot be made: ${why}`, {
    facts: { path },
  });
}
