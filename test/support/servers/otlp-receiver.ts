/**
 * An OTLP receiver that keeps the spans that it gets. It decodes them with the messages that an
 * exporter of OpenTelemetry was generated with, and not with code of the daemon.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import messages from 'otlp-messages/build/src/generated/root.js';
import type { Scratch } from '../scratch.js';

const METHOD = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
const HTTP_PATH = '/v1/traces';

type Value = { stringValue?: string; intValue?: string; arrayValue?: { values: Value[] } };
interface Attribute {
  readonly key: string;
  readonly value: Value;
}
interface WireSpan {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId?: Buffer;
  readonly name: string;
  readonly kind: string;
  readonly attributes?: Attribute[];
  readonly events?: { name: string }[];
  readonly links?: { traceId: Buffer; spanId: Buffer }[];
  readonly status?: { code?: string; message?: string };
}
interface Request {
  readonly resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: WireSpan[] }[] }[];
}
interface Codec {
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: object): Request;
}
const { ExportTraceServiceRequest: CODEC } = (
  messages as unknown as {
    opentelemetry: { proto: { collector: { trace: { v1: { ExportTraceServiceRequest: Codec } } } } };
  }
).opentelemetry.proto.collector.trace.v1;

/** A span as it arrived; ids in hex. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it has none. */
  readonly parentId: string;
  readonly name: string;
  /** SERVER, CLIENT or INTERNAL. */
  readonly kind: string;
  readonly attributes: Readonly<Record<string, string | readonly string[]>>;
  readonly events: readonly string[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
  /** Of its status. */
  readonly message: string;
  /** Of the daemon that sent it. */
  readonly resource: Readonly<Record<string, string | readonly string[]>>;
}

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  /** All that came, to be searched for what must not be there. */
  readonly bytes: Buffer[] = [];

  private constructor(readonly protocol: 'http/protobuf' | 'grpc') {}

  endpoint = '';
  /** Everything is answered with an error that an exporter does not try again after. */
  refuses = false;

  /** The table of a daemon that sends its spans here. */
  get toml(): string {
    return `[tracing]\nendpoint = "${this.endpoint}"\nprotocol = "${this.protocol}"\n`;
  }

  /** Runs until the suite ends. */
  static async http(scratch: Scratch): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver('http/protobuf');
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const isRight = request.url === HTTP_PATH && request.headers['content-type'] === 'application/x-protobuf';
        if (isRight && !receiver.refuses) receiver.#take(Buffer.concat(chunks));
        response
          .writeHead(receiver.refuses ? 400 : isRight ? 200 : 404, { 'content-type': 'application/x-protobuf' })
          .end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    scratch.onEnd(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    receiver.endpoint = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    return receiver;
  }

  /** The same over gRPC. */
  static async grpc(scratch: Scratch): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver('grpc');
    const server = new Server();
    const same = (bytes: Buffer) => bytes;
    const codec = {
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    server.addService(
      { export: { path: METHOD, requestStream: false, responseStream: false, ...codec } },
      {
        export: (call: { request: Buffer }, answer: (error: null, bytes: Buffer) => void) => {
          receiver.#take(call.request);
          answer(null, Buffer.alloc(0));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    scratch.onEnd(() => {
      server.forceShutdown();
      return Promise.resolve();
    });
    receiver.endpoint = `http://127.0.0.1:${String(port)}`;
    return receiver;
  }

  /** Those of a name that have come. */
  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** The one of a name that has this attribute. */
  one(name: string, key: string, value: string): ReceivedSpan {
    const [found, ...more] = this.named(name).filter(({ attributes }) => attributes[key] === value);
    if (found === undefined || more.length > 0)
      throw new Error(
        `${String(more.length)} more of ${name}, ${key} ${value} in ${JSON.stringify(this.spans, null, 1)}`,
      );
    return found;
  }

  #take(bytes: Buffer): void {
    this.bytes.push(bytes);
    const options = { enums: String, longs: String };
    for (const { resource, scopeSpans } of CODEC.toObject(CODEC.decode(bytes), options).resourceSpans)
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({ ...received(span), resource: attributesOf(resource.attributes) });
  }
}

function received(span: WireSpan): Omit<ReceivedSpan, 'resource'> {
  const { name, kind, attributes = [], events = [], links = [], status = {} } = span;
  return {
    name,
    kind: kind.replace('SPAN_KIND_', ''),
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentId: span.parentSpanId === undefined ? '' : hex(span.parentSpanId),
    attributes: attributesOf(attributes),
    events: events.map((event) => event.name),
    links: links.map((link) => ({ traceId: hex(link.traceId), spanId: hex(link.spanId) })),
    isError: status.code === 'STATUS_CODE_ERROR',
    message: status.message ?? '',
  };
}

function attributesOf(attributes: readonly Attribute[]): Record<string, string | string[]> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.arrayValue === undefined ? textOf(value) : value.arrayValue.values.map(textOf),
    ]),
  );
}

function textOf({ stringValue, intValue }: Value): string {
  return stringValue ?? intValue ?? '';
}

function hex(bytes: Buffer): string {
  return Buffer.from(bytes).toString('hex');
}
