/** RPCs that are operations, as streams of events or as one answer at the end. */
import { HostlerError } from '../domain/model/errors.js';
import type { Operations } from '../domain/operations/engine.js';
import type { OperationRecord } from '../domain/operations/record.js';
import type { OperationResult } from '../domain/operations/results.js';
import type { Verb } from '../domain/operations/verb.js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { mapStream, type ServerStream } from './handler.js';
import { operationEvent } from './operation-answers.js';
import type { Ask } from '../domain/operations/engine-ports.js';

/** A verb's spec and the options for the engine. */
export interface Parsed<S> {
  readonly spec: S;
  readonly ask: Ask;
}

/** The options of an RPC that answers once, at the end. */
export function attachedAsk(requestId: string): Ask {
  return { detach: false, planOnly: false, labels: {}, requestId };
}

/** The stream of an operation's events. */
export function longRunning(operations: Operations) {
  return <S extends object, R extends OperationResult>(
    parse: (request: unknown) => Parsed<S>,
    verb: Verb<S, R>,
  ): ServerStream<unknown, OperationEvent> => {
    operations.registerResumable(verb);
    return async function* events(request, caller) {
      const { spec, ask } = parse(request);
      yield* mapStream(operations.start(verb, spec, ask, caller), operationEvent);
    };
  };
}

/** The result of an operation, when it has ended. */
export async function resultOf<K extends OperationResult['kind']>(
  kind: K,
  records: AsyncIterable<OperationRecord>,
): Promise<Extract<OperationResult, { readonly kind: K }>> {
  let result: OperationResult | undefined;
  for await (const record of records) result = record.result;
  if (result === undefined || !isOfKind(result, kind))
    throw new HostlerError('BUG', `an operation has no result ${kind}`);
  return result;
}

function isOfKind<K extends OperationResult['kind']>(
  result: OperationResult,
  kind: K,
): result is Extract<OperationResult, { readonly kind: K }> {
  return result.kind === kind;
}
