import { describeFile } from '../describe-image.js';
import { HostlerError, asHostlerError } from '../errors.js';
import { wishOf } from '../fetch/fetch-from-cache.js';
import type { FetchSpec } from '../fetch/fetch-image.js';
import { assertSaid, assertSize } from '../fetch/judge.js';
import { sourceText } from '../fetch/source.js';
import type { Operations } from '../operations/engine.js';
import type { FetchResult } from '../operations/record.js';
import type { Run } from '../operations/verb.js';
import type { ImageAddress } from '../address.js';
import type { CacheWish } from './cache-entry.js';
import { fillBase, type FillBasePorts, type FillBaseSpec } from './fill-base.js';
import { Filling } from './filling.js';
import { baseEntryId, baseIdOf, type Base } from './pool-bases.js';

export type CloneBasePorts = FillBasePorts & {
  readonly newId: () => string;
  readonly onCache: (event: 'hit' | 'miss', bytes: bigint) => void;
};

interface Found extends Base {
  readonly fromCache: boolean;
  readonly networkBytes: bigint;
}

/** Disks of a pool as clones of what was fetched into it once. */
export class BaseClones {
  readonly #filling: Filling<FillBaseSpec>;

  constructor(
    operations: Operations,
    private readonly ports: CloneBasePorts,
  ) {
    this.#filling = new Filling(operations, fillBase(ports), (key) => `${key} ${ports.newId()}`);
  }

  /** Undefined when this target has no bases beside it, or nothing tells which content it will be. Fails as FetchImage does. */
  async fetch(spec: FetchSpec, run: Run): Promise<FetchResult | undefined> {
    const wish: CacheWish = { ...wishOf(spec), format: 'raw' };
    if (this.ports.bases.addressOf(spec.target, '') === undefined) return undefined;
    const facts = await this.ports.sources.open(wish.source, run.secrets).describe(run.signal);
    assertSaid(spec.maxSizeBytes, sourceText(spec.source))(facts);
    const id = baseIdOf(wish, facts);
    const address = id === undefined ? undefined : this.ports.bases.addressOf(spec.target, id);
    if (address === undefined) return undefined;
    const found = await this.#obtain(address, wish, run);
    this.ports.onCache(found.fromCache ? 'hit' : 'miss', found.fromCache ? found.file.lengthBytes : found.networkBytes);
    return this.#clone(spec, found, baseEntryId(address), run);
  }

  async #obtain(address: ImageAddress, wish: CacheWish, run: Run): Promise<Found> {
    const there = await this.ports.bases.find(address);
    if (there !== undefined) return { ...there, fromCache: true, networkBytes: 0n };
    const networkBytes = await this.#filling
      .bring(address, () => ({ ...wish, address }), run)
      .catch((error: unknown) => {
        // Another host was faster.
        if (asHostlerError(error).reason !== 'TARGET_EXISTS') throw error;
        return undefined;
      });
    const made = await this.ports.bases.find(address);
    if (made === undefined) throw new HostlerError('SOURCE_CHANGED', 'the base was removed before it could be used');
    return { ...made, fromCache: networkBytes === undefined, networkBytes: networkBytes ?? 0n };
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
    await Promise.all([tool.create(part, request, run.tool()), bases.used({ file, checksum })]);
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
