/**
 * Exports spans by OTLP. Loaded only where the configuration asks for it: the SDK is not read from
 * disk otherwise.
 */
import { hostname } from 'node:os';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as HttpExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type SpanExporter,
} from '@opentelemetry/sdk-trace';
import type { Tracer } from '../../../domain/ports/tracer.js';
import { pause } from '../../../domain/model/async.js';
import type { Log } from '../log.js';
import { OtelTracer } from './otel-tracer.js';
import { ReportedExporter } from './reported-exporter.js';

export interface ExportOptions {
  /** `http://HOST:PORT` or `https://…`, without the path of the protocol. */
  readonly endpoint: string;
  readonly protocol: 'http/protobuf' | 'grpc';
  /** Of the traces that begin here, 0 to 1. A caller that sends a context has decided already. */
  readonly sampleRatio: number;
  readonly version: string;
  readonly agentId: string;
}

/** For one batch; after that it is lost. */
const SEND_MS = 10_000;
/** For what waits when the daemon stops. */
const LAST_SPANS_MS = 5000;

/**
 * Starts to export. A collector that cannot be reached is reported in the log, and delays nothing.
 */
export function startExport(
  options: ExportOptions,
  log: Log,
): { readonly tracer: Tracer; readonly close: () => Promise<void> } {
  const exporter = new ReportedExporter(exporterOf(options), options.endpoint, log);
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': 'hostlerd',
        'service.version': options.version,
        'service.instance.id': options.agentId,
        'host.name': hostname(),
      }),
    ),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
    // What waits is bounded (2,048 spans), and so is what is on its way (512): more are dropped.
    spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: 2 * SEND_MS })],
  });
  return {
    tracer: new OtelTracer(provider.getTracer('hostler', options.version)),
    async close() {
      const sending = { done: false };
      // What could not be sent is reported where it was sent.
      const done = () => {
        sending.done = true;
      };
      await pause(LAST_SPANS_MS, provider.shutdown().then(done, done));
      if (!sending.done) exporter.giveUp();
    },
  };
}

function exporterOf({ endpoint, protocol }: ExportOptions): SpanExporter {
  if (protocol === 'grpc') return new GrpcExporter({ url: endpoint, timeoutMillis: SEND_MS });
  return new HttpExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces`, timeoutMillis: SEND_MS });
}
