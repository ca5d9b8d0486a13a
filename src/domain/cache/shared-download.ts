import { BUILT_IN } from '../access/role.js';
import type { Operations } from '../operations/engine.js';
import type { FetchResult } from '../operations/results.js';
import type { SharedRates } from './shared-rates.js';
import type { Run, Verb } from '../operations/verb.js';

/** Operations of the cache itself belong to nobody who calls. */
const OWN_IDENTITY = 'hostler:cache';

/**
 * Brings each image once, however many of this host ask for it: one operation, which all of them
 * wait for.
 */
export class SharedDownload<S extends object> {
  /** What is being filled for a key, and how many wait for it. */
  readonly #downloads = new Map<string, { readonly id: string; waiting: number }>();

  /**
   * @param rates of the downloads, by the ids of their operations' requests
   * @param nextId of the operation that brings what a key stands for; `fresh`: no other has it,
   * whatever an attempt before has left
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
   * Starts the one operation that brings it, or waits for the one that does; what came over the
   * network for it. Fails as that does. One that this caller alone waits for needs what this caller
   * alone knows.
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
    // The labels of who waits, by which it is found as theirs.
    const { labels = {} } = this.operations.live.get(run.operationId)?.record ?? {};
    const ask = { detach: false, labels, planOnly: false, requestId: id, shared, secrets: run.secrets };
    const caller = {
      identity: OWN_IDENTITY,
      // Else one who asks for what comes slowly would take the places of all fills.
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
