/** Results of operations as messages. */
import type * as domain from '../domain/operations/results.js';
import type { ImageWork } from '../gen/hostler/v1/image.js';
import type { OperationResult } from '../gen/hostler/v1/operation.js';
import { imageInfo, imageSnapshot } from './image-answers.js';
import type { Mapped } from './messages/whole.js';

type Message = NonNullable<OperationResult['result']>;
type MessageOf<Kind> = Extract<Message, { readonly $case: Kind }>['value'];

/** Names of the fields of a message; fields in `work` are not separate in a result. */
type FieldOf<Kind> = keyof (Kind extends 'image' ? Omit<MessageOf<'image'>, 'work'> & ImageWork : MessageOf<Kind>);
/** Only in the journal: distinguishes a repetition from another request. */
type Unsent = 'sha256';
/** Names that only one of the two has. */
type Odd<Some, Others> = Exclude<Some, Others> | Exclude<Others, Some>;
/** Words that are reserved in some language have other names in messages. */
interface OtherNames {
  readonly delete: 'deletion';
  readonly export: 'imageExport';
  readonly move: 'fileMove';
}
type CaseOf<Kind> = Kind extends keyof OtherNames ? OtherNames[Kind] : Kind;
type LostOf<Result extends domain.OperationResult> = Result extends unknown
  ? CaseOf<Result['kind']> extends Message['$case']
    ? Exclude<Odd<keyof Result, 'kind' | FieldOf<CaseOf<Result['kind']>>>, Unsent>
    : Exclude<keyof Result, keyof domain.CachedResult>
  : never;

/**
 * The result of an operation. Fails for a kind that only another version of the daemon knows. A
 * result field without a message field does not compile, nor a message field without a result
 * field.
 */
export function operationResult(
  result: domain.OperationResult,
): Mapped<Message | undefined, LostOf<domain.OperationResult>, 'is not in both the result and its message'> {
  switch (result.kind) {
    case 'image': {
      const { info, changed = true, ...work } = result;
      return { $case: 'image', value: { info: imageInfo(info), work, changed } };
    }
    case 'copy':
      return { $case: 'copy', value: result };
    case 'digest':
      return { $case: 'digest', value: result };
    case 'export':
      return { $case: 'imageExport', value: result };
    // The result of a unary call, which has the entry itself.
    case 'cached':
      return undefined;
    case 'fetch': {
      const { info, checksum = '', cacheId = '' } = result;
      return { $case: 'fetch', value: { ...result, info: info && imageInfo(info), checksum, cacheId } };
    }
    case 'delete': {
      const { items = result.existed ? 1n : 0n } = result;
      return { $case: 'deletion', value: { ...result, items } };
    }
    case 'check':
      return { $case: 'check', value: result };
    case 'compare':
      return { $case: 'compare', value: result };
    case 'snapshot':
      return { $case: 'snapshot', value: { snapshot: imageSnapshot(result.snapshot) } };
    case 'chown':
      return { $case: 'chown', value: result };
    case 'write':
      return { $case: 'write', value: result };
    case 'touch':
      return { $case: 'touch', value: result };
    case 'directory': {
      const { topmostPath = '' } = result;
      return { $case: 'directory', value: { ...result, topmostPath } };
    }
    case 'move':
      return { $case: 'fileMove', value: result };
    case 'execute':
      return { $case: 'execute', value: result };
    case 'plan':
      return { $case: 'plan', value: result };
    default:
      throw new Error(
        `a result of a kind that this version does not know: ${JSON.stringify(kindOf(result satisfies never))}`,
      );
  }
}

/** A record may come from another version of the daemon. */
function kindOf({ kind }: { readonly kind: unknown }): unknown {
  return kind;
}
