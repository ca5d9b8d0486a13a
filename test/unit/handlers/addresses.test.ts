/**
 * The table of RPCs says what an address is needed for, and that decides who may call; the verb
 * says how it is used, and that decides what is done. They must agree. Good requests go through the
 * real handlers to the real verbs; the engine's part only looks what a verb uses.
 */
import assert from 'node:assert/strict';
import { fromJson, toBinary, type JsonValue } from '@bufbuild/protobuf';
import type { Operations } from '../../../src/domain/operations/engine.js';
import type { Use } from '../../../src/domain/operations/verb.js';
import { FileServiceService } from '../../../src/gen/hostler/v1/file_service.js';
import { ImageServiceService } from '../../../src/gen/hostler/v1/image_service.js';
import { fileHandlers } from '../../../src/handlers/file.js';
import { imageHandlers } from '../../../src/handlers/image.js';
import { RPC_TABLE, type RpcRow } from '../../../src/handlers/rpc-table.js';
import { requestOf } from '../../support/descriptors.js';
import { someCaller } from '../../support/engine.js';
import { WORK, requestFor } from '../../support/reasons/work.js';

/** They need their addresses elsewhere than in their verb. */
const NO_VERB: Readonly<Record<string, string>> = {
  DownloadImage: 'shows content, and is no operation',
  ReadFile: 'shows content, and is no operation',
  PrefetchImage: 'the operation that fills the cache reads the source',
};
/** The table lets a viewer check; whether a repair may write is asked where the image is opened. */
const WRITES_ALL_THE_SAME = new Set(['CheckImage']);

const ADDRESSES = {
  reads: '/images/reads',
  changes: '/images/changes',
  makes: '/images/makes',
  other: '/images/other',
};
/**
 * What a good request leaves out, but an address may be in. The base of CommitImage only picks a
 * layer: it is looked for in the chain.
 */
const MORE: Readonly<Record<string, Record<string, JsonValue>>> = {
  RebaseImage: { backing_file: '/images/base', backing_format: 'qcow2' },
};

class Used extends Error {
  constructor(readonly uses: readonly Use[]) {
    super('the verb uses these');
  }
}

/** Stands for every port, and for what each answers. */
const nothing: object = new Proxy(() => undefined, {
  get: (_, key) => (key === 'then' || typeof key === 'symbol' ? undefined : nothing),
  apply: () => nothing,
});

/** Takes no operation. */
const engine = {
  ports: nothing,
  live: new Map(),
  registerResumable: () => undefined,
  start(verb: { uses(spec: object): readonly Use[] }, spec: object) {
    throw new Used(verb.uses(spec));
  },
} as unknown as Operations;

type Handler = (request: unknown, caller: typeof someCaller) => Promise<unknown> | AsyncIterable<unknown>;
interface Method {
  readonly requestStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
}
const SERVICES = [
  ['ImageService', ImageServiceService, imageHandlers(engine, nothing as never)],
  ['FileService', FileServiceService, fileHandlers(engine, nothing as never)],
] as const;

async function* only<T>(item: T): AsyncGenerator<T> {
  yield await Promise.resolve(item);
}

/** What the verb of an RPC uses; undefined: it came to no verb. */
async function usesOf(handler: Handler, method: Method, request: unknown): Promise<readonly Use[] | undefined> {
  try {
    const answer = handler(method.requestStream ? only(request) : request, someCaller);
    if (answer instanceof Promise) await answer;
    else await answer[Symbol.asyncIterator]().next();
  } catch (error) {
    if (error instanceof Used) return error.uses;
    if (!(error instanceof TypeError)) throw error; // of an answer that is nothing
  }
  return undefined;
}

function needOf(use: Use): 'read' | 'write' {
  if (use.role === 'source' || use.role === 'named') return 'read';
  return use.role === 'change' && use.need.access === 'look' ? 'read' : 'write';
}

describe('what the table of RPCs says of addresses', () => {
  let compared = 0;
  for (const [service, methods, handlers] of SERVICES)
    for (const [key, method] of Object.entries<Method>(methods)) {
      const rpc = `${key[0]?.toUpperCase() ?? ''}${key.slice(1)}`;
      const row = Object.entries<RpcRow>(RPC_TABLE[service]).find(([name]) => name === key)?.[1] ?? assert.fail(key);
      if (row.access === 'read' || Object.keys(row.addresses).length === 0 || rpc in NO_VERB) continue;

      it(`${rpc}: the verb uses the same ones for the same`, async () => {
        assert.ok(WORK[rpc] !== undefined, 'test/support/reasons/work.ts has no row for it');
        const json = requestFor(rpc, ADDRESSES, MORE[rpc]) as Record<string, JsonValue>;
        const input = requestOf(`${service}/${rpc}`);
        const request = method.requestDeserialize(Buffer.from(toBinary(input, fromJson(input, json))));
        const handler = (handlers as Readonly<Record<string, Handler>>)[key] ?? assert.fail(`${rpc} is not served`);
        const uses = (await usesOf(handler, method, request)) ?? assert.fail('it comes to no verb');
        const stated = Object.entries(row.addresses).flatMap(([field, need]) => {
          const address = valueAt(json, field);
          return typeof address === 'string' ? [`${address}: ${need}`] : [];
        });
        const used = uses.map((use) => `${use.address}: ${WRITES_ALL_THE_SAME.has(rpc) ? 'read' : needOf(use)}`);
        assert.deepEqual([...new Set(used)].sort(), stated.sort());
        compared += 1;
      });
    }

  it('all of them were compared', () => assert.ok(compared > 20, String(compared)));
});

/** `source.file.path` of a request as it is written in JSON; fields there have underscores. */
function valueAt(request: JsonValue, path: string): unknown {
  return path
    .split('.')
    .map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    .reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], request);
}
