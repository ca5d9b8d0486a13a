/** Part of the composition root: spans, and their export. */
import type { Config } from '../adapters/config/config.js';
import type { Log } from '../adapters/telemetry/log.js';
import { OtelTracer } from '../adapters/telemetry/tracing/otel-tracer.js';
import type { EndedChild } from '../adapters/process/process.js';
import { currentWork } from '../domain/model/current-work.js';
import type { Tracer } from '../domain/ports/tracer.js';

/** A tracer, and the end of its export. */
export interface Tracing {
  readonly tracer: Tracer;
  /** Exports pending spans, in bounded time. Never fails. */
  close(): Promise<void>;
}

/** Exports spans if the configuration says so; only then the SDK is loaded. */
export async function openTracing(
  { tracing }: Config,
  log: Log,
  daemon: { readonly version: string; readonly agentId: string },
): Promise<Tracing> {
  const { endpoint, protocol, sample_ratio: sampleRatio } = tracing;
  if (endpoint === undefined) return { tracer: new OtelTracer(), close: () => Promise.resolve() };
  const { startExport } = await import('../adapters/telemetry/tracing/export.js');
  return startExport({ endpoint, protocol, sampleRatio, ...daemon }, log);
}

/** The span of a child process that has ended; without its arguments, which may contain secrets. */
export function traceChild({ tool, pid, code, signal, ms, expected }: EndedChild): void {
  const span = currentWork().span?.child(tool, {
    startTime: Date.now() - ms,
    attributes: {
      'process.executable.name': tool,
      'process.pid': pid,
      ...(code === undefined ? {} : { 'process.exit.code': code }),
      ...(signal === undefined ? {} : { 'hostler.signal': signal }),
    },
  });
  span?.end(expected ? undefined : { type: signal ?? `exit ${String(code)}` });
}
