/** Which reasons the comments of proto/ promise, read from the descriptors. */
import type { DescFile, DescMethod, DescService } from '@bufbuild/protobuf';
import { expanded, REASON_GROUPS, type Failures, type ReasonGroup } from '../../../src/domain/model/reasons/groups.js';
import { isReason, type Reason } from '../../../src/domain/model/reasons/reasons.js';
import { services } from '../descriptors.js';

/** Field numbers of descriptor.proto, which lead to an element's comment. */
const SERVICES_OF_FILE = 6;
const METHODS_OF_SERVICE = 2;
const SYNTAX_OF_FILE = 12;

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

/** What operation.proto says of each group, by its name. */
export function groupComments(): Map<string, string> {
  const file = services()
    .flatMap((service) => [service.file, ...service.file.dependencies])
    .find(({ name }) => name === 'hostler/v1/operation');
  if (file === undefined) throw new Error('the descriptors have no operation.proto');
  const text = commentAt(file, [SYNTAX_OF_FILE]);
  return new Map(
    [...text.matchAll(/Group `([^`]+)`([^]*?)(?=\n\n|$)/g)].map(([, name = '', rest = '']) => [name, rest]),
  );
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

function commentOf(described: DescService | DescMethod): string {
  const service = described.kind === 'service' ? described : described.parent;
  const path = [SERVICES_OF_FILE, service.file.services.indexOf(service)];
  if (described.kind === 'rpc') path.push(METHODS_OF_SERVICE, service.methods.indexOf(described));
  return commentAt(service.file, path);
}

function commentAt(file: DescFile, path: readonly number[]): string {
  const places = file.proto.sourceCodeInfo?.location ?? [];
  return places.find((place) => place.path.join() === path.join())?.leadingComments ?? '';
}
