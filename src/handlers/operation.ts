import * as z from 'zod';
import type { OperationQueries } from '../domain/operations/query.js';
import type { OperationRecord } from '../domain/operations/record.js';
import { Operation } from '../gen/hostler/v1/operation.js';
import type { OperationServiceService } from '../gen/hostler/v1/operation_service.js';
import { parseRequest } from './fields.js';
import { mapStream, type Handlers } from './handler.js';
import { pageOf } from './pages.js';
import { operation, shownEvent, stateOffWire, stateOnWire } from './operation-answers.js';

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;

const id = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, 'must be a ULID');
const labels = z.record(z.string(), z.string());
const filter = z
  .object({
    states: z.array(
      z.number().transform((state, context) => {
        const known = stateOffWire(state);
        if (known === undefined) context.addIssue({ code: 'custom', message: `unknown state ${String(state)}` });
        return known ?? z.NEVER;
      }),
    ),
    methods: z.array(z.string()),
    labels,
    caller: z.string(),
    keptOnly: z.boolean(),
  })
  .optional()
  .transform((given) => given ?? { states: [], methods: [], labels: {}, caller: '', keptOnly: false });

const one = z.object({ operationId: id });
const page = z.object({
  filter,
  pageSize: z.number().min(1).optional(),
  pageToken: z.union([z.literal(''), id], 'must be a next_page_token'),
});
const many = z.object({ filter });
const cancel = z.object({ operationId: z.union([z.literal(''), id], 'must be a ULID'), labels });

/** OperationService: parse, one domain call, map. */
export function operationHandlers(queries: OperationQueries): Handlers<typeof OperationServiceService> {
  const shown = (record: OperationRecord) => {
    const kept = queries.kept(record.id);
    return operation(record, kept);
  };
  return {
    async getOperation(request, caller) {
      return { operation: shown(await queries.get(parseRequest(one, request).operationId, caller)) };
    },
    async listOperations(request, caller) {
      const { filter: wanted, pageSize = DEFAULT_PAGE, pageToken } = parseRequest(page, request);
      const { records, next } = await queries.list(wanted, Math.min(pageSize, MAX_PAGE), pageToken, caller);
      const operations = await pageOf(records, shown, (each) => Operation.encode(each), caller.signal);
      const cut = operations.length < records.length;
      return { operations, nextPageToken: cut ? (operations.at(-1)?.operationId ?? '') : next };
    },
    async *watchOperation(request, caller) {
      yield* mapStream(queries.watch(parseRequest(one, request).operationId, caller), shownEvent);
    },
    async *watchOperations(request, caller) {
      const { filter: wanted } = parseRequest(many, request);
      yield* mapStream(queries.watchAll(wanted, caller), (record) => ({
        event: shownEvent(record),
        method: record.method,
        labels: { ...record.labels },
      }));
    },
    async cancelOperation(request, caller) {
      const { operationId, labels: wanted } = parseRequest(cancel, request);
      const cancelled = await queries.cancel(operationId, wanted, caller);
      return {
        operations: cancelled.map((each) => ({
          operationId: each.id,
          state: stateOnWire(each.state),
          removedPaths: [...each.removedPaths],
          endedPids: [...each.endedPids],
        })),
      };
    },
  };
}
