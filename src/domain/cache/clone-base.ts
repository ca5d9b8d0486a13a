import { describeFile } from '../images/describe-image.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { cacheKeyRequestOf } from './cache-entry.js';
import type { RemoteFile } from '../ports/sources.js';
import { assertAnnouncedSize, assertSize } from '../fetch/validate-foreign.js';
import { forAllCallers, sourceText } from '../fetch/source.js';
import type { Operations } from '../operations/engine.js';
import type { FetchResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { ImageAddress } from '../model/address.js';
import { fillBase, type FillBasePorts, type FillBaseSpec } from './fill-base.js';
import { SharedRates } from './shared-rates.js';
import { SharedDownload } from './shared-download.js';
import { baseEntryId, baseIdOf, type Base } from './pool-bases.js';
import type { FetchSpec } from '../fetch/fetch-spec.js';
import type { CacheKeyRequest } from '../ports/image-cache.js';

export type CloneBasePorts = FillBasePorts & {
  readonly newId: () => string;
  readonly onCache: (event: 'hit' | 'miss', bytes: bigint) => void;
};

interface Found extends Base {
  readonly fromCache: boolean;
  readonly networkBytes: bigint;
  /** Whether another caller's operation downloaded it. */
  readonly joined: boolean;
}

/** Makes disks in a pool as clones of an image that was fetched into the pool once. */
export class BaseClones {
  readonly #downloads: SharedDownload<FillBaseSpec>;

  constructor(
    operations: Operations,
    private readonly ports: CloneBasePorts,
  ) {
    const rates = new SharedRates();
    const nextId = (key: string) => `${key} ${ports.newId()}`;
    this.#downloads = new SharedDownload(operations, fillBase(ports, rates), rates, nextId);
  }

  /**
   * Undefined if no base can be used: the pool keeps none, the content is not known in advance, or
   * nothing proves that the source gives this caller the same content. Fails as FetchImage does.
   */
  async fetch(spec: FetchSpec, run: Run): Promise<FetchResult | undefined> {
    const request: CacheKeyRequest = { ...cacheKeyRequestOf(spec), format: 'raw' };
    if (this.ports.bases.addressOf(spec.target, '') === undefined) return undefined;
    const remote = this.ports.sources.open(request.source, run.secrets);
    const facts = await remote.describe(run.signal);
    assertAnnouncedSize(spec.maxSizeBytes, sourceText(spec.source))(facts);
    const id = baseIdOf(request, facts);
    const address = id === undefined ? undefined : this.ports.bases.addressOf(spec.target, id);
    if (address === undefined) return undefined;
    const found = await this.#obtain(address, request, spec.bytesPerSecond, run);
    // An immutable image was just described to this caller. Otherwise, another host or caller may
    // have fetched the base.
    const mustAsk = facts.immutable !== true && found.guarded && (found.fromCache || found.joined);
    if (mustAsk && !(await isGiven(found, remote, run))) return undefined;
    this.ports.onCache(found.fromCache ? 'hit' : 'miss', found.fromCache ? found.file.lengthBytes : found.networkBytes);
    return this.#clone(spec, found, baseEntryId(address), run);
  }

  async #obtain(
    address: ImageAddress,
    request: CacheKeyRequest,
    bytesPerSecond: bigint | undefined,
    run: Run,
  ): Promise<Found> {
    const there = await this.ports.bases.find(address);
    if (there !== undefined) return { ...there, fromCache: true, networkBytes: 0n, joined: false };
    const joined = this.#downloads.isUnderWay(address);
    const networkBytes = await this.#downloads
      .download(
        address,
        (id) => ({ ...request, source: forAllCallers(request.source, request.checksum !== undefined), address, id }),
        run,
        { bytesPerSecond },
      )
      .catch((error: unknown) => {
        // Another host was faster.
        if (asHostlerError(error).reason !== 'TARGET_EXISTS') throw error;
        return undefined;
      });
    const made = await this.ports.bases.find(address);
    if (made === undefined) throw new HostlerError('SOURCE_CHANGED', 'the base was removed before it could be used');
    return { ...made, fromCache: networkBytes === undefined, networkBytes: networkBytes ?? 0n, joined };
  }

  async #clone(
    spec: FetchSpec,
    { file, checksum, fromCache, networkBytes }: Found,
    cacheId: string,
    run: Run,
  ): Promise<FetchResult> {
    const { reader, tool, bases } = this.ports;
    assertSize(await reader.facts(file, 'raw'), spec.maxSizeBytes, spec.target);
    const part = await run.part(spec.target, spec);
    run.phase('CLONING');
    await run.step('clone');
    const { storedName, lengthBytes } = file;
    const backing = { storedName, format: 'raw' as const, lengthBytes };
    const request = { format: 'raw' as const, sizeBytes: lengthBytes, preallocation: 'off' as const, backing };
    await Promise.all([tool.create(part, request, run.tool()), bases.used({ file })]);
    await run.step('seal');
    const made = await part.seal('empty');
    const info = describeFile(made, await reader.facts(made, 'raw'), false);
    const result: FetchResult = {
      kind: 'fetch',
      info,
      fromCache,
      networkBytes,
      lengthBytes: made.lengthBytes,
      cacheId,
      ...(checksum === '' ? {} : { checksum }),
    };
    return run.commit('COMMITTING', { address: spec.target, made, result }, () => part.publish());
  }
}

async function isGiven({ validator }: Base, remote: RemoteFile, { signal }: Run): Promise<boolean> {
  return validator !== undefined && (await remote.isStill(validator, signal));
}
