/** Which reasons the comments of proto/ promise, read from the descriptors. */
import { commentOf } from '../../../scripts/docs/api/descriptors.js';
import { groupTexts } from '../../../scripts/docs/api/text.js';
import { expanded, REASON_GROUPS, type Failures, type ReasonGroup } from '../../../src/domain/model/reasons/groups.js';
import { isReason, type Reason } from '../../../src/domain/model/reasons/reasons.js';
import { services } from '../descriptors.js';

/** What the comment of one RPC promises, its groups expanded. */
export interface Promised {
  /** Its short name: no two services have one of the same. */
  readonly rpc: string;
  /** Unset: the comment says nothing about failures. */
  readonly reasons: readonly string[] | undefined;
  /** What may come from every RPC. */
  readonly common: readonly string[];
}

/** Every RPC that the descriptors have. */
export function promises(): Promised[] {
  const common = expanded(REASON_GROUPS['every call']);
  return [...comments()].map(([rpc, comment]) => {
    const failures = failuresIn(comment);
    return { rpc, reasons: failures && expanded(failures), common };
  });
}

/** The comment of each RPC, by its short name. */
export function comments(): Map<string, string> {
  const methods = services().flatMap((service) => service.methods);
  return new Map(methods.map((method) => [method.name, commentOf(method)]));
}

/** The comment of each service. */
export function serviceComments(): string[] {
  return services().map(commentOf);
}

/** How operation.proto says what each group fails with, by the group's name. */
export function groupComments(): Map<string, string> {
  const file = services()
    .flatMap((service) => [service.file, ...service.file.dependencies])
    .find(({ name }) => name === 'hostler/v1/operation');
  if (file === undefined) throw new Error('the descriptors have no operation.proto');
  return new Map([...groupTexts(commentOf(file))].map(([name, { fails }]) => [name, fails]));
}

/**
 * `Fails as GROUP, as GROUP, and with: REASON (remark), REASON.`, either part of it alone too;
 * undefined when a comment has no such sentence. Fails on words that are no group or reason, and on
 * a reason that is there twice: a group's is repeated for its remark only.
 */
export function failuresIn(comment: string): Failures | undefined {
  const [, sentence] = /(?<!\S)Fails ((?:as|with:) .*)/.exec(comment.replaceAll(/\s+/g, ' ')) ?? [];
  if (sentence === undefined) return undefined;
  const [names = '', list = ''] = (sentence.split(/Result:|buf:lint/)[0] ?? '').split('with:');
  const groups = [...names.matchAll(/\bas ([^,.]+)/g)].map(([, name = '']) => asGroup(name.trim()));
  const ofGroups = expanded({ groups, own: [] });
  const listed = [...list.replaceAll(/\([^)]*\)/g, '()').matchAll(/\b([A-Z][A-Z_]{2,})\b( \(\))?/g)].map(
    ([, word = '', remark]) => ({ reason: asReason(word), remark: remark !== undefined }),
  );
  const twice = listed.filter(
    ({ reason, remark }, at) =>
      listed.findIndex((each) => each.reason === reason) !== at || (ofGroups.includes(reason) && !remark),
  );
  if (twice.length > 0) throw new Error(`named twice: ${twice.map(({ reason }) => reason).join(', ')}`);
  const own = listed.map(({ reason }) => reason).filter((reason) => !ofGroups.includes(reason));
  return { groups, own };
}

function asGroup(name: string): ReasonGroup {
  const known = (word: string): word is ReasonGroup => Object.hasOwn(REASON_GROUPS, word);
  if (!known(name)) throw new Error(`no group of reasons: ${name}`);
  return name;
}

function asReason(word: string): Reason {
  if (!isReason(word)) throw new Error(`no reason: ${word}`);
  return word;
}
