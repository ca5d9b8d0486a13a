/** The common part of all verbs that change an image in place. */
import type { Eraser, ImageChanger, ImageComparer, Written } from '../ports/changes.js';
import { describeFile } from '../images/describe-image.js';
import { HostlerError, asHostlerError, unsupported } from '../model/errors.js';
import type { ImageInfo } from '../model/image-info.js';
import type { ImageResult, Plan } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import type { Resolved } from '../ports/handles.js';
import type { Chain, ImageTool, Layer, Reflink } from '../ports/tools.js';

/** Limit of snapshots that are named in an error. */
const SNAPSHOTS_NAMED = 10;

export interface ChangePorts {
  /** For the storage of the top layer. */
  readonly changer: (chain: Chain) => ImageChanger;
  readonly comparer: ImageComparer;
  /** For the storage of the file. */
  readonly eraser: (file: Resolved) => Eraser;
  readonly files: Files;
  readonly reader: ImageReader;
  readonly reflink: Reflink;
  readonly tool: ImageTool;
}

type Work = Omit<ImageResult, 'kind' | 'info' | 'changed'>;

export interface Change {
  readonly chain: Chain;
  /** The layer that is written. */
  readonly written: Layer;
  readonly safeCopy: boolean;
  /** A cancel in the middle does no harm. */
  readonly cancellable: boolean;
  /** The amount of work; a function if it is known only at the end. */
  readonly work: Work | (() => Work);
  /** Checks the header when the tool has succeeded. Fails with IO_ERROR. */
  readonly assertDone?: (now: ImageInfo) => void;
}

/**
 * Changes an image: marked as touched until that has succeeded, or, with `safeCopy`, on a reflink
 * that takes its name when it is complete. `apply` may sync in between. Then the header is checked
 * (`assertDone`). The result describes the written layer.
 */
export async function changeInPlace(
  change: Change,
  run: Run,
  ports: ChangePorts,
  apply: (image: Written, sync: () => Promise<void>) => Promise<void>,
): Promise<ImageResult> {
  const { chain, written, safeCopy, cancellable, work } = change;
  if (safeCopy) return changeCopy(change, run, ports, apply);
  return changeMarked({ chain, written, cancellable }, run, ports, async (sync) => {
    await apply({ chain }, sync);
    await run.step('sync');
    await sync();
    const info = await infoNow(written, ports);
    change.assertDone?.(info);
    return { kind: 'image', info, changed: true, ...doneOf(work) };
  });
}

/** The amount of work, once it is done. */
function doneOf(work: Change['work']): Work {
  return typeof work === 'function' ? work() : work;
}

/**
 * Marks an image as touched and changes it; `change` makes that durable. If a tool fails, or failed
 * or was ended before, and left tables that contradict each other, they are repaired. `reached`:
 * the result if the change is complete nevertheless; called when the tables are sound and durable
 * after a failure. Fails with IMAGE_MALFORMED if a file of the chain was truncated.
 */
export async function changeMarked<T>(
  { chain, written, cancellable }: Pick<Change, 'chain' | 'written' | 'cancellable'>,
  run: Run,
  ports: ChangePorts,
  change: (sync: () => Promise<void>) => Promise<T>,
  reached: () => Promise<T | undefined> = () => Promise.resolve(undefined),
): Promise<T> {
  const { file } = written;
  await assertUncut(chain, written, run, ports);
  return whileOpen(file, ports, async (sync) => {
    const interrupted = await run.touch(file);
    run.phase('MODIFYING', cancellable);
    // A damage that cannot be repaired may be completed by the same change: the tool decides.
    if (interrupted) await warned(written, run, () => mend(chain, written, run, ports));
    await run.step('change');
    try {
      return await change(sync);
    } catch (error) {
      if (run.signal.aborted || !(await isWritten(file, ports))) throw error;
      const result = await mendAndLook(chain, written, run, ports, sync, reached);
      if (result === undefined) throw error;
      const why = `${asHostlerError(error).message}; the change is complete and durable all the same`;
      run.warn({ reason: 'TOOL_COMPLAINED', message: why });
      return result;
    }
  });
}

/**
 * Checks for truncated parts before a tool opens an image for writing: they would be read as zeros,
 * and data that the tool adds in their place would hide that forever. An image that an earlier
 * attempt left half changed may name clusters that were never written: the repeated change
 * completes it. Fails with IMAGE_MALFORMED.
 */
export async function assertUncut(
  chain: Chain,
  written: Layer,
  run: Run,
  { reader }: Pick<ChangePorts, 'reader'>,
): Promise<void> {
  const layers = run.isTouched(written.file) ? chain.filter((layer) => layer !== written) : chain;
  await reader.assertChainWhole(layers, run.signal);
}

/**
 * Repairs an image before a call is refused because its result is already there: the attempt that
 * made it so may have been interrupted, and nothing else repairs its damage. A failure here is a
 * warning.
 */
export async function mendInterrupted(chain: Chain, written: Layer, run: Run, ports: ChangePorts): Promise<void> {
  await whileOpen(written.file, ports, async (sync) => {
    if (!(await run.touch(written.file))) return;
    run.phase('MODIFYING', false);
    await warned(written, run, async () => {
      await mend(chain, written, run, ports);
      await sync();
    });
  });
}

/** After a failure, which stays the operation's error: a failure here is a warning. */
async function mendAndLook<T>(
  chain: Chain,
  written: Layer,
  run: Run,
  ports: ChangePorts,
  sync: () => Promise<void>,
  reached: () => Promise<T | undefined>,
): Promise<T | undefined> {
  return warned(written, run, async () => {
    await mend(chain, written, run, ports);
    await sync();
    return reached();
  });
}

/** Undefined, with a warning, if it fails. */
async function warned<T>({ file }: Layer, run: Run, repair: () => Promise<T>): Promise<T | undefined> {
  try {
    return await repair();
  } catch (error) {
    run.signal.throwIfAborted();
    const { message } = asHostlerError(error);
    run.warn({ reason: 'NOT_REPAIRED', message: `${file.address} may need a repair: ${message}` });
    return undefined;
  }
}

async function isWritten(file: Resolved, { files }: ChangePorts): Promise<boolean> {
  const now = await files.refresh(file);
  return now.modifyTimeNs !== file.modifyTimeNs || now.lengthBytes !== file.lengthBytes || file.storage === 'device';
}

/**
 * Repairs the tables of a qcow2 image if they contradict each other. A table that cannot be read is
 * left alone. Leaks are harmless and stay. Fails with IO_ERROR.
 */
async function mend(chain: Chain, written: Layer, run: Run, { changer }: ChangePorts): Promise<void> {
  if (written.format !== 'qcow2') return;
  const [top = written, ...below] = chain.slice(chain.indexOf(written));
  const image: Written = { chain: [top, ...below] };
  await run.step('mend');
  const check = (repair: 'none' | 'all') => changer(image.chain).check(image, repair, run.tool());
  const found = await check('none');
  if (found.corruptions + found.checkErrors === 0n) return;
  const left = found.checkErrors > 0n ? found : await check('all');
  if (left.corruptions + left.checkErrors === 0n) return;
  throw new HostlerError('IO_ERROR', `${written.file.address}: its tables contradict each other`, {
    facts: { path: written.file.address },
  });
}

async function changeCopy(
  { chain, written, assertDone, work }: Change,
  run: Run,
  ports: ChangePorts,
  apply: (image: Written, sync: () => Promise<void>) => Promise<void>,
): Promise<ImageResult> {
  const { file, format } = written;
  await assertUncut(chain, written, run, ports);
  run.phase('CLONING');
  const objection = await ports.reflink.objection(file, run.target(file.address).directory);
  if (objection !== undefined) throw cannotCopy(file.address, objection);
  const part = await run.part(file.address, { overwrite: true, attributes: {} });
  await run.step('clone');
  const cloned = await ports.reflink.clone(file, part, run.tool());
  if (cloned !== true) throw cannotCopy(file.address, cloned.refused);
  run.phase('MODIFYING');
  await run.step('change');
  await whileOpen({ ...file, handle: part.handle, name: part.name }, ports, async (sync) => {
    await apply({ chain, copy: part }, sync);
    await sync();
  });
  await run.step('seal');
  const made = await part.seal();
  const info = describeFile(made, await ports.reader.facts(made, format), false);
  assertDone?.(info);
  const result: ImageResult = { kind: 'image', info, changed: true, ...doneOf(work) };
  return run.commit('COMMITTING', { address: file.address, made, result }, () => part.publish());
}

/** Works with a file that is opened before it is changed; see `Files.openForChange`. */
export async function whileOpen<T>(
  file: Resolved,
  { files }: Pick<ChangePorts, 'files'>,
  work: (sync: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const open = await files.openForChange(file);
  try {
    return await work(() => open.sync());
  } finally {
    await open.close();
  }
}

/** For `Change.assertDone`: checks the current header. Fails with IO_ERROR. */
export function assertHeader(done: boolean, now: ImageInfo, what: string): void {
  if (!done) throw headerError(now, what);
}

/** IO_ERROR: the tool reported success, but the header does not show the change. */
export function headerError({ address }: Pick<ImageInfo, 'address'>, what: string): HostlerError {
  return new HostlerError('IO_ERROR', `${address}: the tool reported success, but ${what}`, {
    facts: { path: address },
  });
}

/** There is nothing to change; a mark that an earlier attempt left is removed. */
export async function unchanged(
  written: Layer,
  why: string,
  run: Run,
  ports: Pick<ChangePorts, 'files' | 'reader'>,
): Promise<ImageResult> {
  await run.touch(written.file);
  // An earlier attempt may have failed between its last write and its sync.
  await ports.files.sync(written.file);
  const work = { method: 'unchanged', why, movedBytes: 0n, skippedBytes: 0n };
  return { kind: 'image', info: await infoNow(written, ports), changed: false, ...work };
}

/** Reads the image's header again, after a change. Fails as reading an image does. */
export async function infoNow(
  { file, format }: Layer,
  { files, reader }: Pick<ChangePorts, 'files' | 'reader'>,
): Promise<ImageInfo> {
  const now = await files.refresh(file);
  return describeFile(now, await reader.facts(now, format), false);
}

/** A plan for a change that needs this much additional space. */
export async function planned(
  method: string,
  why: string,
  { file }: Layer,
  needBytes: bigint,
  { files }: Pick<ChangePorts, 'files'>,
): Promise<Plan> {
  return { kind: 'plan', method, why, needBytes, freeBytes: await files.freeBytes(file.handle) };
}

/**
 * A snapshot inside an image reads from the image's backing file where it has no data of its own.
 * Fails with IMAGE_HAS_SNAPSHOTS.
 */
export function assertNoSnapshots(layers: readonly Layer[]): void {
  const found = layers.find(({ file, facts }) => file.storage !== 'volume' && facts.snapshots.length > 0);
  if (found === undefined) return;
  const { address } = found.file;
  const names = found.facts.snapshots.map(({ name }) => name);
  throw new HostlerError('IMAGE_HAS_SNAPSHOTS', `${address} has snapshots inside, such as ${names[0] ?? ''}`, {
    facts: { path: address, count: String(names.length), snapshots: names.slice(0, SNAPSHOTS_NAMED).join('\n') },
  });
}

function cannotCopy(path: string, why: string): HostlerError {
  return unsupported(`a safe copy of ${path} cannot be made: ${why}`, { path });
}
