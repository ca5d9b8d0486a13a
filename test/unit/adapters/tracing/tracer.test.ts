/** Spans by the port, with the SDK's exporter in memory and without an SDK. */
import assert from 'node:assert/strict';
import { Metadata } from '@grpc/grpc-js';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { OtelTracer } from '../../../../src/adapters/telemetry/tracing/otel-tracer.js';
import { currentWork, withinSpan } from '../../../../src/domain/model/current-work.js';
import type { SpanContext } from '../../../../src/domain/model/span.js';
import { beginOperationSpan, endOperationSpan, traceEnded } from '../../../../src/domain/operations/operation-span.js';
import type { OperationRecord } from '../../../../src/domain/operations/record.js';
import { readSpanContext, writeSpanContext } from '../../../../src/protocol/trace-context.js';

const CALLER: SpanContext = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: 1,
  traceState: 'vendor=value',
};
const RECORD: OperationRecord = {
  ...{ id: '01JDQ8Z3M4XKQ0V7B3R5T6W8Y9', method: 'CreateImage', caller: 'cn:carol', labels: {}, spec: {} },
  ...{ addresses: [], attempt: 1, createTime: 1000, eventTime: 1000, detached: false, state: 'RUNNING' },
  ...{ cancellable: true, warnings: [] },
};

function inMemory() {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return { tracer: new OtelTracer(provider.getTracer('test')), spans: () => exporter.getFinishedSpans() };
}

describe('the tracer', () => {
  it('begins spans within the span of the caller, with its state', () => {
    const { tracer, spans } = inMemory();
    const call = tracer.begin('call', CALLER, { kind: 'server', attributes: { list: ['a', 'b'], count: 2 } });
    call.child('tool', { startTime: 5000 }).end({ type: 'exit 1' });
    call.event('published');
    call.end();
    const [tool, server] = spans();
    assert.equal(server?.parentSpanContext?.spanId, CALLER.spanId);
    assert.equal(server.kind, SpanKind.SERVER);
    assert.deepEqual(server.attributes, { list: ['a', 'b'], count: 2 });
    assert.deepEqual(
      server.events.map(({ name }) => name),
      ['published'],
    );
    assert.equal(server.status.code, SpanStatusCode.UNSET);
    assert.equal(call.context?.traceState, 'vendor=value');
    assert.equal(tool?.parentSpanContext?.spanId, call.context.spanId);
    assert.deepEqual(tool.startTime, [5, 0]);
    assert.deepEqual([tool.attributes['error.type'], tool.status.code], ['exit 1', SpanStatusCode.ERROR]);
  });

  it('what the caller can put right is a failure, and no error', () => {
    const { tracer, spans } = inMemory();
    tracer.begin('call', undefined).end({ type: 'IMAGE_NOT_FOUND', isError: false });
    const [span] = spans();
    assert.deepEqual([span?.attributes['error.type'], span?.status.code], ['IMAGE_NOT_FOUND', SpanStatusCode.UNSET]);
  });

  it('without an SDK a span has the context of its caller, and none without one', () => {
    const off = new OtelTracer();
    const { context } = off.begin('call', CALLER).child('operation');
    assert.deepEqual(context, CALLER);
    const none = off.begin('call', undefined);
    assert.equal(none.context, undefined);
    withinSpan(none, () => assert.equal(currentWork().span, undefined));
  });

  it('an operation is within the work that asks for it, and ends with its result', () => {
    const { tracer, spans } = inMemory();
    const call = tracer.begin('call', CALLER);
    const { span, record } = withinSpan(call, () => beginOperationSpan(tracer, RECORD));
    assert.deepEqual(record.trace, span.context);
    const error = { reason: 'NO_SPACE', message: 'no space in /images', facts: {}, violations: [] };
    endOperationSpan(span, { ...record, state: 'FAILED', error });
    const [operation] = spans();
    assert.ok(operation);
    assert.equal(operation.parentSpanContext?.spanId, call.context?.spanId);
    assert.deepEqual(operation.status, { code: SpanStatusCode.ERROR, message: 'no space in /images' });
    assert.deepEqual(
      [operation.attributes['hostler.state'], operation.attributes['error.type']],
      ['FAILED', 'NO_SPACE'],
    );
  });

  it('one that an earlier daemon began continues its span', () => {
    const { tracer, spans } = inMemory();
    endOperationSpan(beginOperationSpan(tracer, RECORD, CALLER).span, { ...RECORD, state: 'SUCCEEDED' });
    traceEnded(tracer, { ...RECORD, trace: CALLER, state: 'SUCCEEDED' });
    traceEnded(tracer, { ...RECORD, state: 'SUCCEEDED' });
    const all = spans();
    assert.equal(all.length, 2);
    for (const span of all)
      assert.deepEqual(
        [span.parentSpanContext?.spanId, span.links.map(({ context }) => context.spanId)],
        [CALLER.spanId, [CALLER.spanId]],
      );
    assert.deepEqual(all[1]?.startTime, [1, 0]);
  });
});

describe('the headers of a trace', () => {
  it('are read as they were written', () => {
    const metadata = new Metadata();
    writeSpanContext(metadata, CALLER);
    assert.deepEqual(metadata.get('traceparent'), [`00-${CALLER.traceId}-${CALLER.spanId}-01`]);
    assert.deepEqual(readSpanContext(metadata), CALLER);
  });

  for (const broken of ['none', `00-${'0'.repeat(32)}-${CALLER.spanId}-01`, `ff-${CALLER.traceId}-${CALLER.spanId}-01`])
    it(`${broken} is no trace`, () => {
      const metadata = new Metadata();
      metadata.set('traceparent', broken);
      assert.equal(readSpanContext(metadata), undefined);
    });
});
