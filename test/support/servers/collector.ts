/** A real OpenTelemetry Collector on the loopback that writes the spans that it gets to a file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { installed, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { freePort } from './prometheus.js';
import { until } from '../until.js';

/** As the collector writes it: OTLP in JSON. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
  readonly status: { readonly code?: number };
}
interface Batch {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[] }[];
}

export class Collector {
  private constructor(
    /** For each protocol of the configuration. */
    readonly endpoints: Readonly<Record<'http/protobuf' | 'grpc', string>>,
    private readonly file: string,
  ) {}

  /** Starts one until the suite ends, or skips. */
  static async start(context: Mocha.Context, scratch: Scratch): Promise<Collector> {
    needs(context, installed('otelcol'), 'otelcol is not built (scripts/metrics-packages.sh says why)');
    const [http, grpc] = [await freePort(), await freePort()].map((port) => `127.0.0.1:${String(port)}`);
    const file = scratch.path('spans.jsonl');
    const protocols = { http: { endpoint: http }, grpc: { endpoint: grpc } };
    const config = {
      receivers: { otlp: { protocols } },
      exporters: { file: { path: file, flush_interval: '100ms' } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: { receivers: ['otlp'], exporters: ['file'] } },
      },
    };
    // JSON is YAML.
    await writeFile(scratch.path('otelcol.yaml'), JSON.stringify(config));
    const child = spawn('otelcol', ['--config', scratch.path('otelcol.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    scratch.onEnd(async () => {
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    });
    await until(() => {
      if (child.exitCode !== null) throw new Error(log);
      return log.includes('Everything is ready');
    });
    return new Collector({ 'http/protobuf': `http://${http ?? ''}`, grpc: `http://${grpc ?? ''}` }, file);
  }

  /** All that it has written. */
  async spans(): Promise<CollectedSpan[]> {
    if (!existsSync(this.file)) return [];
    const whole = (await readFile(this.file, 'utf8')).split('\n').slice(0, -1);
    return whole.flatMap((line) =>
      (JSON.parse(line) as Batch).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  }
}
