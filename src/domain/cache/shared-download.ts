import { BUILT_IN } from '../access/role.js';
import type { Operations } from '../operations/engine.js';
import type { FetchResult } from '../operations/results.js';
import type { SharedRates } from './shared-rates.js';
import type { Run, Verb } from '../operations/verb.js';

/** Operations of the cache itself belong to no caller. */
const OWN_IDENTITY = 'hostler:cache';

/**
 * Downloads each image once, however many callers of this host request it: they all wait for one
 * operation.
 */
export class SharedDownload<S extends object> {
  /** For each key the running download, and how many operations wait for it. */
  readonly #downloads = new Map<string, { readonly id: string; waiting: number }>();

  /**
   * @param rates of the downloads, by the ids of their operations' requests
   * @param nextId id of the operation for a key; `fresh`: an id without leftovers of an earlier
   * attempt
   */
  constructor(
    private readonly operations: Operations,
    private readonly verb: Verb<S, FetchResult>,
    private readonly rates: SharedRates,
    private readonly nextId: (key: string, fresh: boolean) => string,
  ) {}

  isUnderWay(key: string): boolean {
    return this.#downloads.has(key);
  }

  /**
   * Starts the operation that downloads the image, or joins the running one. Returns the bytes that
   * were received over the network. Fails as that operation does. An operation with a single
   * waiting caller uses that caller's secrets.
   */
  async download(
    key: string,
    specOf: (id: string) => S,
    run: Run,
    { alone = false, bytesPerSecond }: { readonly alone?: boolean; readonly bytesPerSecond: bigint | undefined },
  ): Promise<bigint> {
    const download = (alone ? undefined : this.#downloads.get(key)) ?? { id: this.nextId(key, alone), waiting: 0 };
    this.#downloads.set(key, download);
    download.waiting += 1;
    const { id } = download;
    const shared = true as const;
    // The shared operation gets the labels of each waiting operation, so that it can be found by
    // them.
    const { labels = {} } = this.operations.live.get(run.operationId)?.record ?? {};
    const ask = { detach: false, labels, planOnly: false, requestId: id, shared, secrets: run.secrets };
    const caller = {
      identity: OWN_IDENTITY,
      // Otherwise a caller that requests slow downloads could use the slots of all downloads.
      worksFor: run.caller.identity,
      roles: [],
      grant: BUILT_IN.operator,
      peer: '',
      signal: run.signal,
      deadline: undefined,
    };
    const leaveRate = this.rates.join(id, bytesPerSecond);
    let networkBytes = 0n;
    try {
      const events = this.operations.start(this.verb, specOf(id), ask, caller);
      for await (const { phase, cancellable, progress, retry, result } of events) {
        run.retry(retry);
        if (phase !== undefined && cancellable) run.phase(phase);
        if (progress !== undefined) run.progress(progress);
        if (result?.kind === 'fetch') networkBytes = result.networkBytes;
      }
    } finally {
      leaveRate();
      run.retry(undefined);
      download.waiting -= 1;
      if (download.waiting === 0 && this.#downloads.get(key) === download) this.#downloads.delete(key);
    }
    return networkBytes;
  }
}
