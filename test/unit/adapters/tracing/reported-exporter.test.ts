/** Spans that are lost are reported once, and counted. */
import assert from 'node:assert/strict';
import { ExportResultCode } from '@opentelemetry/core';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace';
import { ReportedExporter } from '../../../../src/adapters/telemetry/tracing/reported-exporter.js';
import { currentWork, workFor } from '../../../../src/domain/model/current-work.js';

describe('an exporter', () => {
  it('reports the begin and the end of a loss, as work of no operation', () => {
    const lines: object[] = [];
    const line = (level: string) => (message: string, facts?: object) => {
      lines.push({ level, message, ...facts, work: currentWork() });
    };
    const log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
    const memory = new InMemorySpanExporter();
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: memory })] });
    provider.getTracer('test').startSpan('one').end();
    const [span] = memory.getFinishedSpans();
    assert.ok(span);
    let fails = true;
    const inner = {
      export: (_: ReadableSpan[], done: (result: { code: ExportResultCode }) => void) =>
        done({ code: fails ? ExportResultCode.FAILED : ExportResultCode.SUCCESS }),
      shutdown: () => Promise.resolve(),
    };
    const exporter = new ReportedExporter(inner, 'http://collector.example:4318', log);
    const results: ExportResultCode[] = [];
    const send = (count: number) =>
      workFor({ operationId: 'other' }, () =>
        exporter.export(
          Array.from({ length: count }, () => span),
          ({ code }) => results.push(code),
        ),
      );
    send(3);
    send(2);
    fails = false;
    send(1);
    send(1);
    const { FAILED, SUCCESS } = ExportResultCode;
    assert.deepEqual(results, [FAILED, FAILED, SUCCESS, SUCCESS]);
    const endpoint = 'http://collector.example:4318';
    assert.deepEqual(lines, [
      { level: 'warn', message: 'spans cannot be exported, and are lost', endpoint, cause: undefined, work: {} },
      { level: 'info', message: 'spans are exported again', endpoint, lost: 5, work: {} },
    ]);
  });
});
