import { HostlerError, asHostlerError } from '../model/errors.js';
import type { SourceFacts } from '../ports/sources.js';
import { checksumText } from '../model/checksum.js';
import { sourceText } from '../fetch/source.js';
import { assertAnnouncedSize } from '../fetch/validate-foreign.js';
import { verifyFile } from '../fetch/take-file.js';
import type { Operations } from '../operations/engine.js';
import type { Run } from '../operations/verb.js';
import { cacheAddress, cacheKeyRequestOf, inOtherFormats, isLasting, keyOf, type CacheRequest } from './cache-entry.js';
import type { CacheIndex } from './cache-index.js';
import { Eviction, notThere, type EvictionPorts } from './eviction.js';
import { fillCache, fillSpec, nextFill, type FillPorts, type FillSpec } from './fill-cache.js';
import { SharedRates } from './shared-rates.js';
import { SharedDownload } from './shared-download.js';
import type { CacheEntry, CacheKeyRequest, Lease } from '../ports/image-cache.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { Resolved } from '../ports/handles.js';

export type CachePorts = FillPorts &
  EvictionPorts & {
    readonly newId: () => string;
    readonly onCache: (event: 'hit' | 'miss', bytes: bigint) => void;
  };

/** Reasons by which a source refuses a caller. */
const REFUSALS: readonly Reason[] = ['SOURCE_REFUSED', 'SOURCE_NOT_FOUND'];

/**
 * Images on this host that may be requested again: each is downloaded once, however many callers
 * request it.
 */
export class ImageCache {
  readonly #downloads: SharedDownload<FillSpec>;
  readonly eviction: Eviction;

  constructor(
    operations: Operations,
    private readonly ports: CachePorts,
  ) {
    this.eviction = new Eviction(ports);
    const [rates, nextId] = [new SharedRates(), nextFill(operations.ports.resumes, ports.newId)];
    this.#downloads = new SharedDownload(operations, fillCache(ports, rates), rates, nextId);
  }

  get index(): CacheIndex {
    return this.ports.cache;
  }

  /**
   * Leases the image from the cache, downloading it first if needed. The caller releases it or
   * gives it back. Fails as FetchImage does, and with IMAGE_TOO_LARGE if the source announces a
   * larger size.
   */
  async obtain(wanted: CacheRequest, run: Run): Promise<Lease> {
    const request = cacheKeyRequestOf(wanted);
    const key = keyOf(request);
    // Glance is asked each time, also to check that this caller may have the image.
    const facts = await this.ports.sources.open(request.source, run.secrets).describe(run.signal);
    assertAnnouncedSize(wanted.maxSizeBytes, sourceText(wanted.source))(facts);
    const found = await this.#usable(key, request, facts, run);
    if (found !== undefined) {
      this.ports.onCache('hit', found.file.lengthBytes);
      return { ...found, fromCache: true, networkBytes: 0n, isLasting: isLasting(found.entry, request) };
    }
    let other = await this.#inAnotherFormat(key, request, facts, run, wanted.bytesPerSecond);
    // Another download may have begun in the meantime; after this check none can begin.
    while (other === undefined && this.#comingInAnotherFormat(key, request) !== undefined)
      other = await this.#inAnotherFormat(key, request, facts, run, wanted.bytesPerSecond);
    if (other !== undefined && other.entry.info.format === request.format) {
      this.ports.onCache('hit', other.file.lengthBytes);
      return { ...other, fromCache: true, networkBytes: 0n, isLasting: isLasting(other.entry, request) };
    }
    try {
      const made = await this.#download(key, request, facts, run, wanted.bytesPerSecond, other?.entry.id);
      const fromCache = other !== undefined;
      this.ports.onCache(fromCache ? 'hit' : 'miss', fromCache ? made.file.lengthBytes : made.networkBytes);
      await this.#dropOlder(made.entry, run);
      // This entry may exceed the limit of the cache.
      await this.eviction.evictOverdue().catch((error: unknown) => {
        run.warn({ reason: 'CLEANUP_FAILED', message: `nothing was evicted: ${asHostlerError(error).message}` });
      });
      return { ...made, fromCache, isLasting: isLasting(made.entry, request) };
    } finally {
      await other?.release();
    }
  }

  /**
   * Leases the content in another format: from the cache, or from a running download of another
   * caller. Undefined if it has to be downloaded.
   */
  async #inAnotherFormat(
    key: string,
    request: CacheKeyRequest,
    facts: SourceFacts,
    run: Run,
    bytesPerSecond: bigint | undefined,
  ): Promise<Pick<Lease, 'entry' | 'file' | 'release'> | undefined> {
    const coming = this.#comingInAnotherFormat(key, request);
    if (coming !== undefined)
      await this.#downloads
        .download(keyOf(coming), fillSpec(keyOf(coming), coming), run, { bytesPerSecond })
        .catch(() => {
          // A download that failed for another caller may succeed for this one.
          run.signal.throwIfAborted();
        });
    for (const other of inOtherFormats(request)) {
      const found = await this.#usable(keyOf(other), other, facts, run);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #comingInAnotherFormat(key: string, request: CacheKeyRequest): CacheKeyRequest | undefined {
    if (this.#downloads.isUnderWay(key)) return undefined;
    return inOtherFormats(request).find((other) => this.#downloads.isUnderWay(keyOf(other)));
  }

  /**
   * Releases an entry. An entry that cannot be used again, because nothing tells whether it is
   * still current, is removed with its last lease.
   */
  async giveBack(lease: Lease, run: Run): Promise<void> {
    const { entry, isLasting } = lease;
    await lease.release();
    if (!isLasting && this.index.has(entry.id)) await this.#drop(entry, run);
  }

  /** Only the latest entry of each content is given out. */
  async #dropOlder(latest: CacheEntry, run: Run): Promise<void> {
    for (const entry of this.index.all)
      if (entry.key === latest.key && entry.createTimeMs < latest.createTimeMs) await this.#drop(entry, run);
  }

  async #drop(entry: CacheEntry, run: Run): Promise<void> {
    try {
      if (!entry.pinned && !(await this.eviction.inUse(entry))) await this.eviction.evict(entry);
    } catch (error) {
      const { reason, message } = asHostlerError(error);
      // The entry is in use, or may back another image: age and size decide when it is evicted.
      if (['IMAGE_IN_USE', 'DEPENDANTS_UNKNOWN'].includes(reason)) return;
      run.warn({ reason: 'CLEANUP_FAILED', message: `${entry.id} stays in the cache: ${message}` });
    }
  }

  async #download(
    key: string,
    request: CacheKeyRequest,
    facts: SourceFacts,
    run: Run,
    bytesPerSecond: bigint | undefined,
    from: string | undefined,
  ): Promise<Omit<Lease, 'fromCache' | 'isLasting'>> {
    let alone = false;
    for (;;) {
      const joined = !alone && this.#downloads.isUnderWay(key);
      let networkBytes: bigint;
      try {
        networkBytes = await this.#downloads.download(key, fillSpec(key, request, from), run, {
          alone,
          bytesPerSecond,
        });
      } catch (error) {
        // The source refused the first caller, which says nothing about this one.
        if (!joined || !REFUSALS.includes(asHostlerError(error).reason)) throw error;
        alone = true;
        continue;
      }
      const entry = this.index.find(key);
      const mustAsk = entry !== undefined && joined && facts.immutable !== true && entry.guarded !== false;
      if (mustAsk && !(await this.#isGiven(entry, request, run))) continue;
      const made = entry === undefined ? undefined : await this.#open(entry, run);
      // Another waiting caller was finished with the entry first, and it is not given out again.
      if (made === undefined && joined) continue;
      if (made === undefined) throw new HostlerError('SOURCE_CHANGED', 'the entry was evicted before it could be used');
      return { ...made, networkBytes };
    }
  }

  /**
   * Leases an entry with this content that is still current and that this caller may have. An
   * outdated entry is forgotten.
   */
  async #usable(
    key: string,
    request: CacheKeyRequest,
    facts: SourceFacts,
    run: Run,
  ): Promise<Pick<Lease, 'entry' | 'file' | 'release'> | undefined> {
    const entry = this.index.find(key);
    if (entry === undefined) return undefined;
    // The checksum list has another checksum for it by now.
    const { checksum: listed } = facts;
    if (request.checksum === undefined && listed !== undefined && entry.checksum !== checksumText(listed))
      return undefined;
    // An immutable image was just described to this caller.
    const mustAsk = facts.immutable !== true && !(entry.verified && entry.guarded === false);
    if (mustAsk && !(await this.#isGiven(entry, request, run))) return undefined;
    return this.#open(entry, run);
  }

  /**
   * Asks the source, with this caller's secrets, whether the caller may have the image and whether
   * it is still this content.
   */
  async #isGiven({ validator }: CacheEntry, { source }: CacheKeyRequest, run: Run): Promise<boolean> {
    // Access to the URL does not prove access to the same content: a signature or a header may
    // select other content.
    if (validator === undefined) return false;
    await run.step('revalidate');
    return this.ports.sources.open(source, run.secrets).isStill(validator, run.signal);
  }

  async #open(entry: CacheEntry, run: Run): Promise<Pick<Lease, 'entry' | 'file' | 'release'> | undefined> {
    // The entry was evicted while its source was asked.
    if (!this.index.has(entry.id)) return undefined;
    const give = this.index.lease(entry);
    const file = await this.ports.paths.source(cacheAddress(entry.id)).catch(notThere);
    const release = async () => {
      give();
      await file?.handle.close();
    };
    try {
      if (file !== undefined && (await this.#isWhole(entry, file, run))) {
        await this.index.used(entry, run.caller.identity);
        return { entry, file, release };
      }
    } catch (error) {
      await release();
      throw error;
    }
    await release();
    // Its file stays if images may be backed by it.
    await this.index.setAside(entry, 'changed');
    return undefined;
  }

  async #isWhole({ info, inode, modifyTimeNs, fileSha256 }: CacheEntry, file: Resolved, run: Run): Promise<boolean> {
    const same =
      file.inode === inode && file.modifyTimeNs === modifyTimeNs && file.lengthBytes === info.fileLengthBytes;
    if (!same || !this.ports.cacheVerify) return same;
    if (fileSha256 === undefined) return false;
    try {
      await verifyFile(file, { algorithm: 'sha256', digest: fileSha256 }, file.address, run, this.ports.files);
      return true;
    } catch (error) {
      if (asHostlerError(error).reason !== 'CHECKSUM_MISMATCH') throw error;
      return false;
    }
  }
}
