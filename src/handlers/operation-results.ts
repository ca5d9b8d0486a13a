/** What operations come to as messages. */
import type * as domain from '../domain/operations/record.js';
import type { ImageWork } from '../gen/hostler/v1/image.js';
import type { OperationResult } from '../gen/hostler/v1/operation.js';
import { imageInfo, imageSnapshot } from './image-answers.js';
import type { Mapped, Whole } from './messages/whole.js';

type Message = NonNullable<OperationResult['result']>;
type ValueOf<Case> = Extract<Message, { readonly $case: Case }>['value'];
type Answer = { [Case in Message['$case']]: { readonly $case: Case; readonly value: Whole<ValueOf<Case>> } };

/** Fields of results that are not under their own name in the message. */
interface Elsewhere {
  /** In `work`. */
  readonly image: keyof ImageWork;
  /** Only tells a repetition from another request. */
  readonly write: 'sha256';
}
type ElsewhereOf<Kind> = Kind extends keyof Elsewhere ? Elsewhere[Kind] : never;
type LostOf<Result> = Result extends { readonly kind: infer Kind }
  ? Exclude<keyof Result, 'kind' | keyof ValueOf<Kind> | ElsewhereOf<Kind>>
  : never;

/**
 * What an operation came to. A kind that only another version of the daemon knows fails. A field of
 * a result that is in no message does not compile, nor one of a message that no result has.
 */
export function operationResult(
  result: domain.OperationResult,
): Mapped<Answer[keyof Answer] | undefined, LostOf<domain.OperationResult>> {
  switch (result.kind) {
    case 'image': {
      const { info, method, why, movedBytes, skippedBytes, changed = true } = result;
      return {
        $case: 'image',
        value: { info: imageInfo(info), work: { method, why, movedBytes, skippedBytes }, changed },
      };
    }
    case 'copy':
      return copyResult(result);
    case 'digest': {
      const { algorithm, digest, lengthBytes } = result;
      return { $case: 'digest', value: { algorithm, digest, lengthBytes } };
    }
    case 'export':
      return { $case: 'export', value: { lengthBytes: result.lengthBytes } };
    // Of a call that answers once, with the entry itself.
    case 'cached':
      return undefined;
    case 'fetch':
      return fetchResult(result);
    case 'delete':
      return {
        $case: 'delete',
        value: {
          existed: result.existed,
          freedBytes: result.freedBytes,
          items: result.items ?? (result.existed ? 1n : 0n),
        },
      };
    case 'check': {
      const { clean, corruptions, leaks, checkErrors, corruptionsFixed, leaksFixed } = result;
      return { $case: 'check', value: { clean, corruptions, leaks, checkErrors, corruptionsFixed, leaksFixed } };
    }
    case 'compare': {
      const { equal, message, firstDifferenceBytes } = result;
      return { $case: 'compare', value: { equal, message, firstDifferenceBytes } };
    }
    case 'snapshot':
      return { $case: 'snapshot', value: { snapshot: imageSnapshot(result.snapshot) } };
    case 'chown':
      return { $case: 'chown', value: { changedItems: result.changedItems, seenItems: result.seenItems } };
    case 'write':
      return { $case: 'write', value: { writtenBytes: result.writtenBytes } };
    case 'touch':
      return { $case: 'touch', value: { existed: result.existed } };
    case 'execute':
      return { $case: 'execute', value: { exitCode: result.exitCode, attempts: result.attempts } };
    case 'plan':
      return planned(result);
    default:
      throw new Error(`a result of a kind that this version does not know: ${JSON.stringify(kindOf(result))}`);
  }
}

function planned({ method, why, moveBytes, needBytes, freeBytes }: domain.Plan): Answer['plan'] {
  return { $case: 'plan', value: { method, why, moveBytes, needBytes, freeBytes } };
}

/** A record may come from another version of the daemon. */
function kindOf({ kind }: { readonly kind: unknown }): unknown {
  return kind;
}

function copyResult(result: domain.CopyResult): Answer['copy'] {
  const { target, lengthBytes, allocatedBytes, engine, why, movedBytes, skippedBytes, verified } = result;
  return {
    $case: 'copy',
    value: { target, lengthBytes, allocatedBytes, engine, why, movedBytes, skippedBytes, verified },
  };
}

function fetchResult(result: domain.FetchResult): Answer['fetch'] {
  const { info, networkBytes, fromCache, checksum = '', lengthBytes, cacheId = '' } = result;
  return {
    $case: 'fetch',
    value: { info: info && imageInfo(info), networkBytes, fromCache, checksum, lengthBytes, cacheId },
  };
}
