import type { ImageAddress } from '../model/address.js';
import { namedBase } from './backing-name.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { assertUncutExtent, withExtents } from './extents.js';
import { claims, detectFormat, otherMarks } from '../formats/magic.js';
import { cached } from '../formats/head.js';
import { readContent } from '../formats/content.js';
import { READERS } from '../formats/readers.js';
import { HEAD_BYTES, noDisk } from '../formats/no-disk/no-disk.js';
import { parseFormat, type ImageFormat } from '../model/image-format.js';
import type { ImageFacts, Missing } from '../model/image-info.js';
import {
  assertForeign,
  assertWithinForeignLimits,
  foreignFormat,
  formatMismatch,
  unsafe,
  type ForeignRules,
} from './image-policy.js';
import type { ByteSource, Files, Wholeness } from '../ports/images.js';
import { turnsEvery } from '../model/async.js';
import type { AddressedFile, Resolved } from '../ports/handles.js';
import type { Chain, Layer, LayerExtent } from '../ports/tools.js';
import type { Paths, SharedFolders } from '../ports/paths.js';
import type { KnownHeaders } from './known-headers.js';
import { volumeFacts, rawFacts } from './raw-facts.js';

/** qemu itself has no limit; a deeper chain is a mistake or an attack. */
export const MAX_CHAIN_LAYERS = 64;
/** For all layers together: the whole chain is held in memory. */
export const MAX_CHAIN_SNAPSHOTS = 8192;
/** Headers of local files are read synchronously: other work gets a turn after this time. */
const TURN_MS = 2;

export interface ReaderPorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly wholeness: Wholeness;
  readonly foreign: ForeignRules;
  /** For a reader whose answers are only shown: headers of unchanged files are not read again. */
  readonly known?: KnownHeaders;
  /** Called for files without an image that are declared as raw by a caller who may change them. */
  onRaw(file: Resolved): void;
}

interface Following {
  readonly isKnown?: (last: Layer, layers: number, snapshots: number) => boolean;
  readonly folders?: SharedFolders | undefined;
}

/** Reads headers and follows backing chains, inside the roots only. */
export class ImageReader {
  constructor(private readonly ports: ReaderPorts) {}

  get foreignRules(): ForeignRules {
    return this.ports.foreign;
  }

  /** The format that the content claims. */
  detect(file: Resolved): Promise<ImageFormat> {
    if (file.storage === 'volume') return Promise.resolve('raw');
    const read = () => this.ports.files.withBytes(file, (bytes) => detectFormat(bytes));
    return this.ports.known?.formats.of(file, '', read) ?? read();
  }

  /**
   * The facts in the header. A declared container format must equal the detected one; declared
   * `raw` never mismatches, because its bytes are the guest's. Undeclared, the format is detected,
   * and for raw the partitions are read. Fails with FORMAT_MISMATCH, IMAGE_MALFORMED.
   */
  async facts(file: Resolved, declared: ImageFormat | undefined): Promise<ImageFacts> {
    if (file.volume !== undefined) return volumeFacts(file, file.volume, declared);
    if (declared === 'raw') {
      await this.#heard(file);
      return rawFacts(file);
    }
    const read = () =>
      this.ports.files.withBytes(file, async (source) => {
        const bytes = cached(source);
        const format = await detectFormat(bytes, declared);
        if (declared !== undefined) await assertDeclared(file, bytes, declared, format);
        if (format === 'raw') return readContent(bytes);
        const facts = await READERS[format](bytes);
        return { ...facts, findings: [...facts.findings, ...(await otherMarks(bytes, format))] };
      });
    return this.ports.known?.facts.of(file, declared ?? '', read) ?? read();
  }

  /**
   * Reports a declared raw disk: from now on anything that a guest writes into it is data. A file
   * that looks like an image is not reported, because it may be one.
   */
  async #heard(file: Resolved): Promise<void> {
    if (!file.writable || file.storage !== 'file') return;
    const format = await this.detect(file).catch((error: unknown) => {
      // Raw facts do not need its bytes: a caller that does gets the error.
      if (asHostlerError(error).reason === 'BUG') throw error;
      return undefined;
    });
    if (format === 'raw') this.ports.onRaw(file);
  }

  /**
   * The facts of an untrusted image's header, if it may be passed to a tool, in the sandbox and
   * with the limits for such images: the content is in the `said` format, nothing in it reaches
   * beyond it, and nothing in it is broken or ambiguous. `raw` is any content that is not a
   * container; its partitions are checked. No other process may be able to write to the file.
   * Undeclared, any format is accepted. Fails with FORMAT_MISMATCH, IMAGE_MALFORMED, IMAGE_UNSAFE
   * with each finding.
   */
  async foreign(file: AddressedFile, said: ImageFormat | undefined): Promise<ImageFacts> {
    return this.ports.files.withBytes(file, async (source) => {
      const bytes = cached(source);
      const declared = said ?? (await detectFormat(bytes));
      await assertDeclared(file, bytes, declared, foreignFormat(declared, await claims(bytes, declared)));
      const facts = declared === 'raw' ? await readContent(bytes) : await READERS[declared](bytes);
      const marks = declared === 'raw' ? [] : await otherMarks(bytes, declared);
      const all = { ...facts, findings: [...facts.findings, ...marks] };
      assertForeign(file.address, all);
      return all;
    });
  }

  /**
   * Checks that every cluster and table that the image names lies in its file: truncated parts
   * would be read as zeros. It reads every table, which takes seconds for a large disk, so it
   * belongs in operations. Fails with IMAGE_MALFORMED, which tells where and how much.
   */
  async assertWhole(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<void> {
    const cut = await this.cut(file, format, signal);
    if (cut !== undefined) throw cut.error;
  }

  /**
   * The same as a result: in how many places something is missing, with the error. Unset: nothing
   * is missing.
   */
  async cut(
    file: AddressedFile,
    format: ImageFormat,
    signal: AbortSignal,
  ): Promise<{ readonly places: number; readonly error: HostlerError } | undefined> {
    const missing = await this.ports.wholeness.missing(file, format, signal);
    return missing && { places: missing.places, error: cutOff(file.address, format, missing) };
  }

  /** The same for each layer of a chain; untrusted images are checked in quarantine. */
  async assertChainWhole(chain: readonly Layer[], signal: AbortSignal): Promise<void> {
    for (const { file, format, untrusted, extents } of chain) {
      if (file.storage === 'volume' || untrusted !== undefined) continue;
      if (extents === undefined) await this.assertWhole(file, format, signal);
      else await this.#assertExtentsWhole(extents, signal);
    }
  }

  async #assertExtentsWhole(extents: readonly LayerExtent[], signal: AbortSignal): Promise<void> {
    for (const extent of extents) {
      const { file, kind } = extent;
      if (file === undefined) continue;
      if (kind === 'sparse') await this.assertWhole(file, 'vmdk', signal);
      else assertUncutExtent({ ...extent, file: await this.ports.files.refresh(file) });
    }
  }

  /**
   * The image and all its backing files; the caller closes the handles. An untrusted image is read
   * alone, without its backing file, and in place. The files that a VMDK's descriptor names are
   * included. Fails with IMAGE_UNSAFE, and as `facts`; for an untrusted image also as `foreign`,
   * with SANDBOX_UNAVAILABLE and IMAGE_TOO_LARGE.
   */
  async chain(address: ImageAddress, format: ImageFormat, reading?: 'unread'): Promise<Chain> {
    const file = await this.ports.paths.source(address, reading);
    if (file.trusted) return this.follow(file, format);
    try {
      assertWithinForeignLimits(file, this.ports.foreign);
      return [{ file, format, facts: await this.foreign(file, format), untrusted: 'inPlace' }];
    } catch (error) {
      await file.handle.close();
      throw error;
    }
  }

  /**
   * The same for an open file, which is closed with all others on failure. The chain ends early
   * above a base for which `isKnown` is true; it is called with the last layer, and the numbers of
   * layers and snapshots so far. With `folders` a folder is walked to once.
   */
  async follow(
    file: Resolved,
    format: ImageFormat,
    { isKnown = () => false, folders }: Following = {},
  ): Promise<Chain> {
    const opened: Resolved[] = [file];
    const { address } = file;
    const takeTurns = turnsEvery(TURN_MS);
    try {
      const top = await withExtents({ file, format, facts: await this.facts(file, format) }, opened, this.ports);
      const below: Layer[] = [];
      let last = top;
      let snapshots = top.facts.snapshots.length;
      // The cluster resolves a volume's parent itself: a client that opens the volume sees both.
      while (last.facts.backingFile !== undefined && last.file.volume === undefined) {
        if (isKnown(last, below.length + 1, snapshots)) break;
        if (below.length + 1 >= MAX_CHAIN_LAYERS)
          throw unsafe(address, `its chain has more than ${String(MAX_CHAIN_LAYERS)} layers`);
        const base = baseOf(address, last.facts.backingFile, last.facts.backingFormat);
        const backing = await this.ports.paths.named(base, last.file, folders);
        opened.push(backing);
        if (!backing.trusted) throw unsafe(address, `it is backed by ${backing.storedName}, in an untrusted root`);
        if ([top, ...below].some(({ file: seen }) => sameFile(seen, backing)))
          throw unsafe(address, `its chain comes back to ${backing.storedName}`);
        last = await withExtents(await this.layer(backing, last), opened, this.ports);
        below.push(last);
        snapshots += last.facts.snapshots.length;
        if (snapshots > MAX_CHAIN_SNAPSHOTS)
          throw unsafe(address, `its chain has more than ${String(MAX_CHAIN_SNAPSHOTS)} snapshots`);
        await takeTurns();
      }
      return [top, ...below];
    } catch (error) {
      await Promise.all(opened.map(({ handle }) => handle.close()));
      throw error;
    }
  }

  /**
   * The images that a volume is a clone of, nearest first; the caller closes the handles. A client
   * that opens the volume sees them as part of it. Fails as `chain`.
   */
  async parents(volume: Layer): Promise<readonly Layer[]> {
    const found: Layer[] = [];
    const opened: Resolved[] = [];
    try {
      for (let last = volume; last.facts.backingFile !== undefined; last = found.at(-1) ?? volume) {
        if (found.length >= MAX_CHAIN_LAYERS)
          throw unsafe(volume.file.address, `its chain has more than ${String(MAX_CHAIN_LAYERS)} layers`);
        const file = await this.ports.paths.named(last.facts.backingFile, last.file);
        opened.push(file);
        found.push({ file, format: 'raw', facts: await this.facts(file, 'raw') });
      }
      return found;
    } catch (error) {
      await Promise.all(opened.map(({ handle }) => handle.close()));
      throw error;
    }
  }

  /** The image alone, without its backing files; the caller closes its handle. Fails as `facts`. */
  async top(address: ImageAddress, format: ImageFormat): Promise<Chain> {
    const file = await this.ports.paths.source(address);
    try {
      const untrusted = file.trusted ? {} : { untrusted: 'inPlace' as const };
      return [{ file, format, facts: await this.facts(file, format), ...untrusted }];
    } catch (error) {
      await file.handle.close();
      throw error;
    }
  }

  private async layer(file: Resolved, above: Layer): Promise<Layer> {
    const format = await this.backingFormat(file, above);
    return { file, format, facts: await this.facts(file, format) };
  }

  /**
   * The format is never guessed: if the header does not contain it, only a base without any mark is
   * accepted, as raw (CVE-2014-0134).
   */
  private async backingFormat(file: Resolved, above: Layer): Promise<ImageFormat> {
    const stored = above.facts.backingFormat;
    if (stored === undefined) {
      if ((await this.detect(file)) === 'raw') return 'raw';
      throw unsafe(above.file.address, `it does not say the format of its backing file ${file.storedName}`);
    }
    const format = parseFormat(stored);
    if (typeof format === 'object')
      throw unsafe(above.file.address, `it says its backing file has the unknown format ${stored}`);
    return format;
  }
}

/** Fails with FORMAT_MISMATCH, which describes content that is not an image. */
async function assertDeclared(
  { address }: AddressedFile,
  bytes: ByteSource,
  declared: ImageFormat,
  detected: ImageFormat,
): Promise<void> {
  if (declared === detected) return;
  const content = detected === 'raw' ? noDisk(await bytes.read(0n, HEAD_BYTES), bytes.lengthBytes) : undefined;
  throw formatMismatch(address, declared, detected, content);
}

/**
 * The path of a base. Fails with IMAGE_UNSAFE for a name that is not a path, and for one with
 * another format than the header.
 */
function baseOf(address: ImageAddress, name: string, format: string | undefined): string {
  const base = namedBase(name);
  if (base === undefined)
    throw unsafe(address, `its backing file is named ${name}, which is no path: only names of files are followed`);
  if (base.driver !== undefined && base.driver !== format)
    throw unsafe(address, `its backing file is named ${name}, but the header has ${format ?? 'nothing'} as its format`);
  return base.path;
}

function cutOff(
  path: string,
  format: ImageFormat,
  { what, atBytes, places, lengthBytes, endBytes }: Missing,
): HostlerError {
  const [length, end, at] = [String(lengthBytes), String(endBytes), String(atBytes)];
  const bytes = String(endBytes - lengthBytes);
  const more = places === 1 ? '' : `, and ${String(places - 1)} more`;
  return new HostlerError(
    'IMAGE_MALFORMED',
    `${path}: ${format}: the file ends at byte ${length}, but ${what} at ${at}${more} reach up to ${end}: ${bytes} bytes are missing`,
    { facts: { path, file_bytes: length, missing_at: at, missing_bytes: bytes } },
  );
}

/** Whether two handles name one inode. */
export function sameFile(a: { device: bigint; inode: bigint }, b: { device: bigint; inode: bigint }): boolean {
  return a.device === b.device && a.inode === b.inode;
}
