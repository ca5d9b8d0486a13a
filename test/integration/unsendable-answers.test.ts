/**
 * An answer that cannot be sent, behind every kind of call: its status, its line in the log and in
 * the audit log, and its operation.
 */
import assert from 'node:assert/strict';
import { connect as openSession } from 'node:http2';
import { connect } from 'node:net';
import type { Caller } from '../../src/domain/access/caller.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import type { OperationRecord } from '../../src/domain/operations/record.js';
import type { TouchResult } from '../../src/domain/operations/results.js';
import type { Run, Verb } from '../../src/domain/operations/verb.js';
import { RPC_TABLE, type ServiceName } from '../../src/handlers/rpc-table.js';
import { operationEvent } from '../../src/handlers/operation-answers.js';
import { deferred } from '../../src/domain/model/async.js';
import { answerOf } from '../support/descriptors.js';
import { composeEngine } from '../support/engine.js';
import { plantedServer, type Planted } from '../support/servers/planted-server.js';
import { scratchFolder } from '../support/scratch.js';
import { RPCS, failure } from '../support/stranger.js';
import { until } from '../support/until.js';

const ask = { detach: false, labels: {}, planOnly: false, requestId: '' };
const FIELDS: Readonly<Record<ServiceName, string>> = {
  ImageService: 'image',
  OperationService: 'operation',
  HostInfoService: 'host',
  FileService: 'file',
  CommandService: 'command',
};

/** Any of its fields fails to be read: no encoder gets past it. A promise may hold it. */
const UNSENDABLE = new Proxy(
  {},
  { get: (_, field) => (field === 'then' ? undefined : raise(new RangeError('the planted value'))) },
);
function raise(error: Error): never {
  throw error;
}

describe('answers that cannot be sent', () => {
  const scratch = scratchFolder();
  let served: Planted;

  before(async () => {
    served = await plantedServer(scratch.path('all.sock'), plantedEverywhere());
    scratch.onEnd(() => served.close());
  });

  for (const { rpc, requestStream, responseStream } of RPCS.filter(({ rpc: name }) => answerOf(name).fields.length > 0))
    it(`${rpc}: the caller, the log and the audit log hear of it`, async () => {
      const { stranger, log, audit } = served;
      log.length = audit.length = 0;
      const error = await failure(
        requestStream ? stranger.send(rpc, []) : responseStream ? stranger.all(rpc) : stranger.unary(rpc),
      );
      assert.deepEqual([error.code, error.reason], [13, 'BUG']);
      assert.ok(!error.message.includes('planted'), error.message);
      const [line] = log;
      assert.deepEqual([line?.rpc, line?.code, line?.reason], [`hostler.v1.${rpc}`, 'INTERNAL', 'BUG']);
      assert.match(String(line?.cause), /the planted value/);
      const [service = '', name = ''] = rpc.split('/');
      const row = Object.entries(RPC_TABLE[service as ServiceName]).find(([key]) => key === lowered(name))?.[1];
      const results = audit.map(({ event, result }) => [event, result]);
      assert.deepEqual(results, row?.access === 'change' ? [['call', 'BUG']] : []);
    });

  it('an answer of more than 4 MiB is an error that says so, and the next call is served', async () => {
    const long = await plantedServer(scratch.path('long.sock'), {
      host: {
        validateHostname: () => Promise.resolve({ valid: true, kind: 0 }),
        getInstancePath: () => Promise.resolve({ path: 'x'.repeat(4 * 1024 * 1024) }),
      },
    });
    try {
      const error = await failure(long.stranger.unary('HostInfoService/GetInstancePath'));
      assert.deepEqual([error.code, error.reason, long.log[0]?.reason], [8, 'ANSWER_TOO_LARGE', 'ANSWER_TOO_LARGE']);
      assert.equal((await long.stranger.unary('HostInfoService/ValidateHostname'))['valid'], true);
    } finally {
      await long.close();
    }
  });

  describe('of an operation', () => {
    let engine: Awaited<ReturnType<typeof composeEngine>>;
    let server: Planted;
    let gate = deferred();
    let entered = deferred<Run>();
    /** What becomes of each record before it is sent. */
    let map: (record: OperationRecord) => unknown = operationEvent;
    const unread = 300;

    before(async () => {
      engine = await composeEngine(scratch.path(), () => Promise.resolve());
      scratch.onEnd(() => engine.close());
      const verb: Verb<object, TouchResult> = {
        name: 'CreateImage',
        slot: () => 'none',
        uses: () => [],
        async run(_, run) {
          entered.resolve(run);
          await Promise.race([gate.promise, new Promise((_, reject) => aborted(run.signal, reject))]);
          return { kind: 'touch', existed: true };
        },
      };
      const createImage = async function* (_: unknown, caller: Caller) {
        for await (const record of engine.operations.start(verb, {}, ask, caller)) yield map(record);
      };
      const flood = async function* (_: unknown, caller: Caller) {
        for await (const record of engine.operations.start(verb, {}, ask, caller))
          for (let n = 0; n < 500; n++) yield { ...operationEvent(record), operationId: 'x'.repeat(100_000) };
      };
      server = await plantedServer(scratch.path('one.sock'), { image: { createImage, convertImage: flood } }, unread);
      scratch.onEnd(() => server.close());
    });

    beforeEach(() => {
      [gate, entered, map] = [deferred(), deferred<Run>(), operationEvent];
      server.log.length = server.audit.length = 0;
    });

    const theOperation = () => [...engine.operations.live.values()][0];
    const BROKEN: Readonly<Record<string, (record: OperationRecord) => unknown>> = {
      'a number out of range': (record) => ({ ...operationEvent(record), pid: -1 }),
      'a handler that throws': () => raise(new RangeError('the planted value')),
      'no message at all': () => UNSENDABLE,
    };
    for (const [title, broken] of Object.entries(BROKEN))
      it(`${title}: the operation continues without its caller, says so, and ends as it ends`, async () => {
        map = (record) => (record.progress === undefined ? operationEvent(record) : broken(record));
        const call = failure(server.stranger.all('ImageService/CreateImage'));
        (await entered.promise).progress({ doneBytes: 1n, skippedBytes: 0n });
        assert.deepEqual(
          [(await call).reason, server.log[0]?.reason, server.audit.at(-1)?.result],
          ['BUG', 'BUG', 'BUG'],
        );
        const operation = theOperation();
        const { state, detached, warnings } = operation?.record ?? {};
        assert.deepEqual([state, detached, warnings?.map(({ reason }) => reason)], ['RUNNING', true, ['ANSWER_LOST']]);
        gate.resolve();
        assert.equal((await operation?.finished)?.state, 'SUCCEEDED');
      });

    it('of its last event: it has succeeded', async () => {
      map = (record) => (record.state === 'SUCCEEDED' ? UNSENDABLE : operationEvent(record));
      const call = failure(server.stranger.all('ImageService/CreateImage'));
      await entered.promise;
      const finished = theOperation()?.finished;
      gate.resolve();
      assert.equal((await call).reason, 'BUG');
      assert.deepEqual([(await finished)?.state, (await finished)?.warnings], ['SUCCEEDED', []]);
    });

    it('a caller that leaves still takes it along', async () => {
      const stream = server.stranger.stream('ImageService/CreateImage');
      stream.on('error', () => undefined);
      stream.on('data', () => undefined);
      await entered.promise;
      const finished = theOperation()?.finished;
      stream.cancel();
      assert.equal((await finished)?.state, 'CANCELLED');
    });

    it('so does one that reads nothing', async () => {
      const createConnection = () => connect(scratch.path('one.sock'));
      const session = openSession('http://localhost', { createConnection, settings: { initialWindowSize: 1000 } });
      const headers = { ':method': 'POST', ':path': '/hostler.v1.ImageService/ConvertImage', te: 'trailers' };
      session.request({ ...headers, 'content-type': 'application/grpc' }).end(Buffer.alloc(5));
      await entered.promise;
      assert.equal((await theOperation()?.finished)?.state, 'CANCELLED');
      await until(() => server.log.length > 0);
      assert.equal(server.log[0]?.reason, 'WATCHER_TOO_SLOW');
      session.destroy();
    });
  });

  describe('a status', () => {
    const texts = {
      'half a surrogate pair': ['lone \ud800 half', 'lone \ufffd half'],
      'the other half': ['\udfff', '\ufffd'],
      'control characters': ['a\0b\x01c\nd\re\x7ff', 'a\0b\x01c\nd\re\x7ff'],
      'percent signs and words of other scripts': ['100 % größer 大 😀', '100 % größer 大 😀'],
      'a line of headers': ['x\r\ngrpc-status: 0\r\n', 'x\r\ngrpc-status: 0\r\n'],
    } as const;
    for (const [title, [text, shown]] of Object.entries(texts))
      it(`with ${title} is sent`, async () => {
        const facts = { path: text, [text]: text };
        const violations = [{ field: text, description: text }];
        const fails = () => raise(new HostlerError('POOL_NOT_FOUND', text, { facts, violations, retryAfterMs: 1 }));
        const server = await plantedServer(scratch.path('text.sock'), { host: { getPoolInfo: fails } });
        try {
          const error = await failure(server.stranger.unary('HostInfoService/GetPoolInfo'));
          assert.deepEqual([error.code, error.reason], [5, 'POOL_NOT_FOUND']);
          assert.equal(error.message.replace(/^5 NOT_FOUND: /, ''), shown);
          assert.deepEqual([error.metadata['path'], error.fields], [shown, [shown]]);
        } finally {
          await server.close();
        }
      });
  });
});

/** Every RPC of every service, each with an answer that no encoder takes. */
function plantedEverywhere(): object {
  const handlers = new Map<string, Record<string, unknown>>();
  for (const { rpc, requestStream, responseStream } of RPCS) {
    const [service = '', name = ''] = rpc.split('/');
    const table = handlers.get(service) ?? {};
    table[lowered(name)] = responseStream
      ? async function* () {
          yield await Promise.resolve(UNSENDABLE);
        }
      : async (requests: AsyncIterable<unknown>) => {
          if (requestStream) for await (const request of requests) assert.fail(String(request));
          return UNSENDABLE;
        };
    handlers.set(service, table);
  }
  return Object.fromEntries([...handlers].map(([service, table]) => [FIELDS[service as ServiceName], table]));
}

function lowered(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function aborted(signal: AbortSignal, reject: (reason: unknown) => void): void {
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
}
