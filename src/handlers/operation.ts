import * as z from 'zod';
import { Cursors } from '../domain/operations/cursors.js';
import type { OperationFilter, OperationQueries, PageStart } from '../domain/operations/query.js';
import type { OperationRecord } from '../domain/operations/record.js';
import { Operation } from '../gen/hostler/v1/operation.js';
import type { OperationServiceService } from '../gen/hostler/v1/operation_service.js';
import { parseRequest, timeMs } from './fields.js';
import { mapStream, type Handlers } from './handler.js';
import { timeOfMs } from '../protocol/times.js';
import { pageOf } from './pages.js';
import { changeOf, operation, shownEvent, stateOffWire, stateOnWire } from './operation-answers.js';

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;
/** Prefix of the page tokens of lists in newest-first order. */
const NEWEST_FIRST = '-';
const EVERYTHING: OperationFilter = {
  ...{ states: [], methods: [], labels: {}, caller: '', keptOnly: false },
  ...{ reasons: [], requestId: '' },
};

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
    reasons: z.array(z.string()),
    requestId: z.string(),
    since: timeMs.optional(),
    until: timeMs.optional(),
  })
  .optional()
  .transform((given): OperationFilter => {
    if (given === undefined) return EVERYTHING;
    const { since: sinceMs, until: untilMs, ...rest } = given;
    return { ...rest, sinceMs, untilMs };
  });

const one = z.object({ operationId: id });
/** The two orders have different page tokens. */
const page = z
  .object({
    filter,
    pageSize: z.number().min(1).optional(),
    pageToken: z.string().regex(/^(?:-?[0-9A-HJKMNP-TV-Z]{26})?$/, 'must be a next_page_token'),
    newestFirst: z.boolean(),
  })
  .transform(({ pageToken, newestFirst, ...rest }, context) => {
    const start: PageStart = { behind: pageToken.replace(NEWEST_FIRST, ''), newestFirst };
    if (pageToken !== '' && pageToken.startsWith(NEWEST_FIRST) !== newestFirst)
      context.addIssue({ code: 'custom', message: 'is of a list in the other order', path: ['pageToken'] });
    return { ...rest, start };
  });
const many = z.object({ filter, cursor: z.string() });
const cancel = z.object({ operationId: z.union([z.literal(''), id], 'must be a ULID'), labels });

/** For an answer that only tells the position of a watch. */
const NO_CHANGE: ReturnType<typeof changeOf> = {
  ...{ event: undefined, method: '', caller: '', requestId: '', labels: {}, addresses: [], notShown: [] },
};

/** OperationService: parse, one domain call, map. */
export function operationHandlers(
  queries: OperationQueries,
  agentId: string,
): Handlers<typeof OperationServiceService> {
  const cursors = new Cursors(agentId);
  const shown = (record: OperationRecord) => {
    const kept = queries.kept(record.id);
    return operation(record, kept);
  };
  return {
    async getOperation(request, caller) {
      return { operation: shown(await queries.get(parseRequest(one, request).operationId, caller)) };
    },
    async listOperations(request, caller) {
      const { filter: wanted, pageSize = DEFAULT_PAGE, start } = parseRequest(page, request);
      const { position } = queries;
      const { records, next } = await queries.list(wanted, Math.min(pageSize, MAX_PAGE), start, caller);
      const operations = await pageOf(records, shown, (each) => Operation.encode(each), caller.signal);
      const cut = operations.length < records.length;
      const last = cut ? (operations.at(-1)?.operationId ?? '') : next;
      const nextPageToken = last === '' || !start.newestFirst ? last : `${NEWEST_FIRST}${last}`;
      // Only on the first page: changes during the following pages have to be watched.
      const cursor = start.behind === '' ? cursors.of(position, caller.identity) : '';
      return { operations, nextPageToken, cursor };
    },
    async getOperationLog(request, caller) {
      const { lines, isPartial } = await queries.log(parseRequest(one, request).operationId, caller);
      return {
        lines: lines.map(({ timeMs: at, ...line }) => ({ ...line, time: timeOfMs(at), facts: { ...line.facts } })),
        partial: isPartial,
      };
    },
    async *watchOperation(request, caller) {
      yield* mapStream(queries.watch(parseRequest(one, request).operationId, caller), shownEvent);
    },
    async *watchOperations(request, caller) {
      const { filter: wanted, cursor } = parseRequest(many, request);
      const since = cursor === '' ? undefined : cursors.read(cursor, caller.identity);
      yield* mapStream(queries.watchAll(wanted, since, caller), ({ record, position }) => ({
        ...(record === undefined ? NO_CHANGE : changeOf(record)),
        cursor: cursors.of(position, caller.identity),
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
