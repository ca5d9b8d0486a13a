import { AsyncLocalStorage } from 'node:async_hooks';
import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Log } from '../log.js';

/**
 * An exporter that says in the log when spans begin to be lost, once until they arrive again, and
 * how many were.
 */
export class ReportedExporter implements SpanExporter {
  #lost = 0;
  /** Batches are sent in the middle of any work: these lines belong to none of it. */
  readonly #inNoWork = AsyncLocalStorage.bind((act: () => void) => {
    act();
  });

  constructor(
    private readonly exporter: SpanExporter,
    private readonly endpoint: string,
    private readonly log: Log,
  ) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#inNoWork(() => {
      this.exporter.export(spans, (result) => {
        this.#report(spans.length, result);
        done(result);
      });
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  forceFlush(): Promise<void> {
    return this.exporter.forceFlush?.() ?? Promise.resolve();
  }

  /** Nobody waits any longer for what was not sent yet. */
  giveUp(): void {
    if (this.#lost === 0) this.#warn('the collector did not take the last spans in time');
  }

  #report(spans: number, { code, error }: ExportResult): void {
    const { endpoint, log } = this;
    if (code === ExportResultCode.SUCCESS) {
      if (this.#lost > 0) log.info('spans are exported again', { endpoint, lost: this.#lost });
      this.#lost = 0;
      return;
    }
    if (this.#lost === 0) this.#warn(error?.message);
    this.#lost += spans;
  }

  #warn(cause: string | undefined): void {
    this.log.warn('spans cannot be exported, and are lost', { endpoint: this.endpoint, cause });
  }
}
