/**
 * Images whose backing file is moved: their headers get the new name, and the old one again after a
 * failure.
 */
import { assertHeader, infoNow, whileOpen, type ChangePorts } from '../verbs/in-place.js';
import { asAddress, type ImageAddress } from '../model/address.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { canSayOfBase, parseFormat, traits, type ImageFormat } from '../model/image-format.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { Run, Use } from '../operations/verb.js';
import type { Dependant } from '../ports/changes.js';
import type { FileIdentity } from '../ports/handles.js';
import type { Files } from '../ports/images.js';
import type { Paths } from '../ports/paths.js';
import type { NotDurable, ResolvedTarget } from '../ports/targets.js';
import type { Layer } from '../ports/tools.js';
import { sameFile, type ImageReader } from '../images/read-image.js';
import { MAX_BACKING_NAME_BYTES } from '../verbs/create-overlay.js';
import type { WholeTreePorts } from './whole-tree.js';

export interface RewritePorts extends WholeTreePorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly reader: ImageReader;
  readonly changer: ChangePorts['changer'];
}

/** A locked image, with the name in its header and the new name. */
export interface Rewrite {
  readonly image: Layer;
  readonly format: ImageFormat;
  readonly before: string;
  readonly after: string;
}

interface Move {
  readonly from: ResolvedTarget;
  readonly to: ResolvedTarget;
}

/** Limit: each stays open until the operation ends. */
const MAX_IMAGES = 1000;
/** Reasons for which an image's header cannot be written. */
const NOT_TO_BE_WRITTEN: readonly Reason[] = [
  ...(['IMAGE_UNSAFE', 'IMAGE_MALFORMED', 'FORMAT_MISMATCH', 'UNSUPPORTED_BY_BACKEND', 'ROOT_READ_ONLY'] as const),
  ...(['IMAGE_NOT_FOUND', 'NOT_A_FILE', 'PATH_OUTSIDE_ROOTS', 'IMAGE_TOO_LARGE', 'SANDBOX_UNAVAILABLE'] as const),
  ...(['IMAGE_NEEDS_REPAIR', 'SECRET_REQUIRED'] as const),
];

/**
 * Admits the images that would not find their backing file. Fails with IMAGE_HAS_DEPENDANTS if one
 * of them cannot be written, and with IMAGE_IN_USE, PATH_BUSY.
 */
export async function admitRewrites(
  found: readonly Dependant[],
  { from, to }: Move,
  run: Pick<Run, 'admit'>,
  ports: RewritePorts,
): Promise<readonly Rewrite[]> {
  const path = from.address;
  if (found.length > MAX_IMAGES) throw refused(path, `it is needed by ${String(found.length)} images`);
  try {
    const images: { readonly address: ImageAddress; readonly format: ImageFormat; readonly after: string }[] = [];
    for (const image of found) images.push(await imageOf(image, to.address, ports));
    const { chain } = await run.admit(images.map(useOf));
    return images.map(({ address, after }) => rewriteOf(chain(address)[0], after, path));
  } catch (error) {
    throw asRefusal(error, path);
  }
}

/** A problem of an image that needs the path is a refusal; other errors are unchanged. */
function asRefusal(error: unknown, path: ImageAddress): unknown {
  const { reason, message } = asHostlerError(error);
  return NOT_TO_BE_WRITTEN.includes(reason) ? refused(path, message, error) : error;
}

async function imageOf({ path, loses }: Dependant, to: ImageAddress, { paths, reader }: RewritePorts) {
  const address = asAddress(path);
  const file = await paths.source(address);
  try {
    const after = loses === undefined || 'below' in loses ? below(to, loses?.below ?? '') : loses.elsewhere;
    return { address, format: await reader.detect(file), after };
  } finally {
    await file.handle.close();
  }
}

function below(to: ImageAddress, path: string): string {
  return path === '' ? to : `${to}/${path}`;
}

function useOf({ address, format }: { readonly address: ImageAddress; readonly format: ImageFormat }): Use {
  return { role: 'inplace', address, format, chain: 'top', safeCopy: false, refuseDependants: () => false };
}

function rewriteOf(image: Layer, after: string, path: ImageAddress): Rewrite {
  const { backingFile: before, backingFormat = '', encrypted } = image.facts;
  const format = parseFormat(backingFormat);
  const cannot = (why: string) => refused(path, `the header of ${image.file.address} ${why}`);
  if (before === undefined) throw cannot('names no backing file');
  if (typeof format !== 'string') throw cannot('names no format of its backing file that is known');
  if (encrypted) throw cannot('is that of an encrypted image');
  if (!traits(image.format).backing || !canSayOfBase(image.format, format))
    throw cannot(`is one of ${image.format}, which is not rewritten`);
  if (Buffer.byteLength(after) > MAX_BACKING_NAME_BYTES) throw cannot('has no room for the new name');
  return { image, format, before, after };
}

function refused(path: ImageAddress, why: string, cause?: unknown): HostlerError {
  return new HostlerError('IMAGE_HAS_DEPENDANTS', `${path} is needed by images that cannot be rewritten: ${why}`, {
    facts: { path },
    cause,
  });
}

/**
 * Writes the new names, then moves. Until the move the new name is a link to the old one, so that
 * each image can find its backing file at any time. If something fails before the move, everything
 * is restored.
 */
export async function moveRewritten(
  { from, to }: Move,
  what: FileIdentity,
  rewrites: readonly Rewrite[],
  run: Run,
  ports: RewritePorts,
): Promise<NotDurable | undefined> {
  const written: Rewrite[] = [];
  try {
    await ports.trees.link(from, to);
    for (const rewrite of rewrites) {
      if (rewrite.before === rewrite.after) continue;
      await run.touch(rewrite.image.file);
      await run.step('rename');
      written.push(rewrite);
      await write(rewrite, rewrite.after, run, ports);
      run.progress(progress(written.length, rewrites.length));
    }
    await run.step('move');
    return await ports.trees.move(from, to, 'link');
  } catch (error) {
    await undo({ from, to }, what, written, run, ports);
    throw asRefusal(error, from.address);
  }
}

function progress(done: number, total: number) {
  return { doneBytes: 0n, skippedBytes: 0n, doneItems: BigInt(done), totalItems: BigInt(total) };
}

/** Never rejects: the caller has to report the original failure. */
async function undo(
  { from, to }: Move,
  what: FileIdentity,
  written: readonly Rewrite[],
  run: Run,
  ports: RewritePorts,
): Promise<void> {
  try {
    const now = await ports.trees.standsFor(from);
    // The move took effect, and a later step failed.
    if (now === undefined || !sameFile(now, what)) return;
    for (const rewrite of written.toReversed()) {
      const { image, before } = rewrite;
      // The last header may not have been written.
      if ((await infoNow(image, ports)).backingFile !== before) await write(rewrite, before, run, ports);
      await run.untouch(image.file);
    }
    await ports.trees.unlink(from, to);
  } catch (error) {
    const message = `some headers name ${to.address}, which stays a link to ${from.address}: ${asHostlerError(error).message}`;
    run.warn({ reason: 'NOT_REPAIRED', message });
  }
}

/** Durable when resolved. */
async function write({ image, format }: Rewrite, name: string, run: Run, ports: RewritePorts): Promise<void> {
  await whileOpen(image.file, ports, async (sync) => {
    await ports.changer([image]).setBase({ chain: [image] }, { storedName: name, format }, run.tool());
    await sync();
  });
  const now = await infoNow(image, ports);
  assertHeader(now.backingFile === name, now, 'the header does not have the new name');
}

/** The new name must be free, or a link that an earlier attempt left. */
export async function assertFreeName({ from, to }: Move, { trees }: Pick<WholeTreePorts, 'trees'>): Promise<void> {
  if (to.existing === undefined || (await trees.isLinked(from, to))) return;
  throw new HostlerError('TARGET_EXISTS', `${to.address} exists`, { facts: { path: to.address } });
}
