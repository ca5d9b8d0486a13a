import { isRbd, type ImageAddress } from '../model/address.js';
import type { Written } from '../ports/changes.js';
import { rest, scale } from '../model/numbers.js';
import { movedIn, type Moved } from './moved.js';
import { MAX_BACKING_NAME_BYTES, apartFromBase, baseLarger } from './create-overlay.js';
import { fullBackingFile } from '../images/describe-image.js';
import { HostlerError, invalidFields, unsupported } from '../model/errors.js';
import { assertSameForGuests } from '../images/guests-base.js';
import { canSayOfBase, traits, type ImageFormat } from '../model/image-format.js';
import type { ImageInfo } from '../model/image-info.js';
import { dataFrom } from '../images/guest-data.js';
import { assertHeader, assertNoSnapshots, changeInPlace, planned, unchanged, type ChangePorts } from './in-place.js';
import type { ImageResult } from '../operations/results.js';
import type { Resolution, Run, Use, Verb } from '../operations/verb.js';
import { sameFile } from '../images/read-image.js';
import { OPENS, opened, unlocked } from '../images/unlocked.js';
import type { Chain, Layer } from '../ports/tools.js';

interface Layered {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
}

export interface RebaseSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  /** Unset: none, the image is flattened. */
  readonly backing?: Layered;
  /**
   * Only the name changes; neither the old nor the new base is opened. The name must still lie in
   * the roots.
   */
  readonly headerOnly: boolean;
  readonly safeCopy: boolean;
}

/**
 * Gives an image another base, or none. The guest's content stays (unless `headerOnly`), after a
 * crash too; the same call completes it.
 */
export function rebaseImage(ports: ChangePorts): Verb<RebaseSpec, ImageResult> {
  return {
    name: 'RebaseImage',
    slot: ({ headerOnly }) => (headerOnly ? 'none' : 'io'),
    uses: ({ address, format, backing, headerOnly, safeCopy }) => [
      {
        role: 'inplace',
        address,
        format,
        chain: headerOnly ? 'top' : 'whole',
        safeCopy,
        refuseDependants: () => false,
      },
      ...(backing === undefined ? [] : [baseUse(backing, headerOnly)]),
    ],

    async plan(spec, resolution, run) {
      const chain = resolution.chain(spec.address);
      const base = newBase(spec, resolution);
      if (!spec.headerOnly && !isThere(spec, chain[0])) assertNoSnapshots([chain[0]]);
      const needBytes = spec.headerOnly ? 0n : await dataFrom(chain, (depth) => depth > 0, ports.tool, run);
      return planned(methodOf(spec), whyOf(spec, base), chain[0], needBytes, ports);
    },

    async run(spec, run) {
      run.phase('INSPECTING');
      const chain = unlocked(run.chain(spec.address), run.secrets[OPENS]);
      const [written] = chain;
      const base = newBase(spec, run).map((layer) => opened(layer, run.secrets[OPENS]));
      const why = whyOf(spec, base);
      if (isThere(spec, written)) return unchanged(written, 'it has this base already', run, ports);
      if (spec.headerOnly) warnOfSnapshots(written, run);
      else {
        assertNoSnapshots([written]);
        await ports.reader.assertChainWhole(base, run.signal);
      }
      const moved = spec.headerOnly ? 0n : await dataFrom(chain, (depth) => depth > 0, ports.tool, run.tool());
      await run.reserveFor(written.file, moved);
      let counts: Moved = { movedBytes: 0n, skippedBytes: 0n };
      const work = () => ({ method: methodOf(spec), why, ...counts });
      const assertDone = (now: ImageInfo) => {
        assertHeader(isThere(spec, { ...written, facts: now }), now, 'the header does not name the new base');
      };
      // Until the header changes, in one write, a cancel leaves the same content in more clusters.
      const change = { ...spec, chain, written, cancellable: true, work, assertDone };
      return changeInPlace(change, run, ports, async (image, sync) => {
        counts = await rebase(spec, image, base, moved, run, ports, sync);
      });
    },
  };
}

/** The new base is not opened: only the caller knows whether it holds what the snapshots need. */
function warnOfSnapshots({ file, facts: { snapshots } }: Layer, run: Run): void {
  if (snapshots.length === 0) return;
  const message = `${file.address} has ${String(snapshots.length)} snapshots inside, which read from its base: their content is as the new base has it`;
  run.warn({ reason: 'SNAPSHOTS_ON_NEW_BASE', message });
}

function baseUse(backing: Layered, headerOnly: boolean): Use {
  return headerOnly ? { role: 'named', address: backing.address } : { role: 'source', ...backing, allowInUse: false };
}

/**
 * The header changes last, when all data that the guest will see without the old base is durable,
 * and was read again.
 */
async function rebase(
  { headerOnly, backing, safeCopy }: RebaseSpec,
  image: Written,
  base: readonly Layer[],
  totalBytes: bigint,
  run: Run,
  { changer: changerOf, tool }: ChangePorts,
  sync: () => Promise<void>,
): Promise<Moved> {
  const changer = changerOf(image.chain);
  let counts: Moved = { movedBytes: 0n, skippedBytes: 0n };
  const onFraction = (fraction: number) => {
    run.progress({ doneBytes: scale(totalBytes, fraction), totalBytes, skippedBytes: 0n });
  };
  if (!headerOnly) {
    counts = await copiedOf(image, totalBytes, tool, run, () => changer.copyUp(image, base, run.tool(onFraction)));
    const { movedBytes, skippedBytes } = counts;
    run.progress({ doneBytes: movedBytes, totalBytes: movedBytes, skippedBytes });
    await run.step('synced');
    await sync();
    run.phase('VERIFYING');
    await run.step('verify');
    await changer.assertCopied(image, base, run.tool());
  }
  run.phase('MODIFYING', safeCopy);
  await run.step('rename');
  const storedName = base[0]?.file.storedName ?? backing?.address;
  const name = backing === undefined || storedName === undefined ? undefined : { storedName, format: backing.format };
  await changer.setBase(image, name, run.tool());
  return counts;
}

/**
 * How much was copied of the bytes that were compared: data that the image itself has now, and had
 * not before. Clusters equal on the new base, or zero, were not copied. A volume copies everything.
 */
async function copiedOf(
  { chain: [top, ...below], copy }: Written,
  totalBytes: bigint,
  tool: ChangePorts['tool'],
  run: Run,
  copyUp: () => Promise<void>,
): Promise<Moved> {
  const { handle, name } = copy ?? top.file;
  const chain: Chain = [{ ...top, file: { ...top.file, handle, ...(name === undefined ? {} : { name }) } }, ...below];
  const own = () => dataFrom(chain, (depth) => depth === 0, tool, run.tool());
  const isVolume = top.file.storage === 'volume';
  const before = isVolume ? 0n : await own();
  await copyUp();
  return movedIn(isVolume ? totalBytes : rest(await own(), before), totalBytes, totalBytes);
}

/**
 * The layers of the new base. Fails with INVALID_FIELD, IMAGE_UNSAFE, UNSUPPORTED_BY_BACKEND,
 * BASE_LARGER, BASE_SIZE_DIFFERS.
 */
function newBase({ address, format, backing, headerOnly }: RebaseSpec, resolution: Resolution): readonly Layer[] {
  const { volume } = resolution.chain(address)[0].file;
  if (!traits(format).backing && volume === undefined)
    throw unsupported(`${format} images have no backing files`, { format });
  const wrong = (description: string) => invalidFields([{ field: 'backing_file', description }]);
  if (backing === undefined) return [];
  if (volume === undefined && !canSayOfBase(format, backing.format))
    throw unsupported(`a ${format} header cannot say that its base is ${backing.format}`, {
      format,
      backing_format: backing.format,
    });
  if (backing.address === address) throw wrong('an image cannot be its own base');
  if (Buffer.byteLength(backing.address) > MAX_BACKING_NAME_BYTES)
    throw wrong(`longer than the ${String(MAX_BACKING_NAME_BYTES)} bytes that a header can hold`);
  if (headerOnly) {
    if (isRbd(backing.address) !== (volume !== undefined)) throw apartFromBase(address, backing.address);
    return [];
  }
  const [top]: Chain = resolution.chain(address);
  const base = resolution.chain(backing.address);
  if (base.some(({ file }) => sameFile(file, top.file)))
    throw new HostlerError('IMAGE_UNSAFE', `${backing.address} is backed by ${address} itself`, {
      facts: { path: backing.address },
    });
  const [size, own] = [base[0].facts.virtualSizeBytes, top.facts.virtualSizeBytes];
  if (size > own) throw baseLarger(address, own, backing.address, size);
  assertSameForGuests(base);
  return base;
}

/** Whether the header already names this base. */
function isThere({ backing }: RebaseSpec, { file, facts }: Layer): boolean {
  const { backingFile, backingFormat } = facts;
  if (backing === undefined || backingFile === undefined) return backing === undefined && backingFile === undefined;
  return fullBackingFile(file, backingFile) === backing.address && backingFormat === backing.format;
}

function methodOf({ backing, headerOnly }: RebaseSpec): string {
  return headerOnly ? 'rename-base' : backing === undefined ? 'flatten' : 'rebase';
}

function whyOf({ backing, headerOnly }: RebaseSpec, base: readonly Layer[]): string {
  if (headerOnly) return 'only the name in the header changes, whatever the bases hold';
  if (backing === undefined) return 'what comes from the layers below is copied up';
  return `what is different on ${base[0]?.file.storedName ?? backing.address} is copied up, then the header names it`;
}
