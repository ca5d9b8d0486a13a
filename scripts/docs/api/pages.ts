/** The pages of docs/api, as Markdown. */
import type { DescEnum, DescFile, DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';
import { expanded, REASON_GROUPS } from '../../../src/domain/model/reasons/groups.js';
import { messagesPage, pagesOf, type ServicePage } from './contents.js';
import { commentOf } from './descriptors.js';
import { fieldTable, valueTable } from './tables.js';
import { groupTexts, linkedGroups, marked, rpcText, wrapped, type GroupText } from './text.js';

const MADE = 'This page is generated from `proto/`: `make gen`.';

const anchor = (heading: string) => heading.toLowerCase().replaceAll(' ', '-');
const page = (...parts: readonly string[]) => `${parts.filter((part) => part !== '').join('\n\n')}\n`;
const prose = (text: string) => wrapped(marked(text));

/** Every page of docs/api, by its file's name. */
export function apiPages(files: readonly DescFile[]): Map<string, string> {
  const pages = files.flatMap(({ services }) => services.flatMap(pagesOf));
  const withMessages = Map.groupBy(files.flatMap(shared), messagesPage);
  return new Map([
    ['README.md', contents(files, withMessages)],
    ['reasons.md', reasons(files)],
    ...pages.map((each) => [`${each.name}.md`, servicePage(each)] as const),
    ...[...withMessages].map(([name, types]) => [`${name}.md`, messages(types)] as const),
  ]);
}

function contents(
  files: readonly DescFile[],
  withMessages: ReadonlyMap<string, readonly (DescMessage | DescEnum)[]>,
): string {
  const rows = [...withMessages].map(
    ([name, types]) => `| [${titleOf(types)}](${name}.md) | ${types.map(linkTo).join(', ')} |`,
  );
  return page(
    '# The API',
    wrapped(
      `Every RPC of \`hostler.v1\`, with its request and answer, the reasons with which it fails, and what a crash leaves if its comment says so. Every RPC also fails as [every call](reasons.md#every-call). [reasons.md](reasons.md) has the reasons that RPCs share, [errors.md](../errors.md) each reason, and [limits.md](../limits.md) the maximal length of fields. ${MADE}`,
    ),
    ...files.flatMap(({ services }) => services).map(serviceContents),
    '## Messages',
    ['| page | messages and enums |', '| --- | --- |', ...rows].join('\n'),
  );
}

function serviceContents(service: DescService): string {
  const rows = pagesOf(service).map(
    ({ name, title, rpcs }) =>
      `| [${title}](${name}.md) | ${rpcs.map((rpc) => `[${rpc.name}](${name}.md#${anchor(rpc.name)})`).join(', ')} |`,
  );
  return page(
    `## ${service.name}`,
    prose(commentOf(service).split('Every RPC fails as')[0] ?? ''),
    ['| page | RPCs |', '| --- | --- |', ...rows].join('\n'),
  ).trimEnd();
}

/** One section a group, from the comment of operation.proto. */
function reasons(files: readonly DescFile[]): string {
  const comment = files.map(commentOf).find((text) => groupTexts(text).size > 0) ?? '';
  const [, before = ''] = comment.split(/\n\s*\n/);
  return page(
    '# Groups of reasons',
    prose(before),
    wrapped(`${MADE} What each reason means is in [errors.md](../errors.md).`),
    ...[...groupTexts(comment)].map(groupSection),
  );
}

function groupSection([name, { what, fails }]: readonly [string, GroupText]): string {
  const group = Object.entries(REASON_GROUPS).find(([each]) => each === name)?.[1];
  if (group === undefined) throw new Error(`operation.proto has a group that groups.ts has not: ${name}`);
  return page(
    `## ${name}`,
    prose(what.replace(/^./, (first) => first.toUpperCase())),
    wrapped(linkedGroups(marked(fails))),
    group.groups.length === 0 ? '' : prose(`All of them: ${expanded(group).join(', ')}.`),
  ).trimEnd();
}

function servicePage({ title, rpcs }: ServicePage): string {
  const service = rpcs[0]?.parent.typeName ?? '';
  return page(
    `# ${title}`,
    wrapped(`RPCs of \`${service}\`. All pages: [the API](README.md). ${MADE}`),
    ...rpcs.map(rpcSection),
  );
}

function rpcSection(method: DescMethod): string {
  const { what, crash, fails, result } = rpcText(commentOf(method));
  const resultLink = `[OperationResult](results-operation.md#operationresult)`;
  return page(
    `## ${method.name}`,
    prose(what),
    crash === '' ? '' : wrapped(`**Crash.** ${marked(crash)}`),
    wrapped(linkedGroups(marked(fails))),
    result === '' ? '' : `Result of the operation: \`${result}\` of ${resultLink}.`,
    ofMessage('Request', method.input, ['client_streaming', 'bidi_streaming'].includes(method.methodKind)),
    ofMessage('Answer', method.output, ['server_streaming', 'bidi_streaming'].includes(method.methodKind)),
  ).trimEnd();
}

function ofMessage(what: string, message: DescMessage, streams: boolean): string {
  const name = streams ? `a stream of \`${message.name}\`` : `\`${message.name}\``;
  if (shared(message.file).includes(message)) return `${what}: ${streams ? 'a stream of ' : ''}${linkTo(message)}.`;
  return `${what}: ${name}.\n\n${fieldTable(message, linkTo)}`;
}

function messages(types: readonly (DescMessage | DescEnum)[]): string {
  return page(
    `# ${titleOf(types)}`,
    wrapped(`All pages: [the API](README.md). ${MADE}`),
    ...types.map((type) =>
      page(
        `## ${type.name}`,
        prose(commentOf(type)),
        type.kind === 'enum' ? valueTable(type) : fieldTable(type, linkTo),
      ).trimEnd(),
    ),
  );
}

function titleOf(types: readonly (DescMessage | DescEnum)[]): string {
  const what = types[0]?.name.endsWith('Result') === true ? 'Results' : 'Messages';
  const files = new Set(types.map(({ file }) => `${file.name.split('/').at(-1) ?? ''}.proto`));
  return `${what} of ${[...files].join(' and ')}`;
}

/** Messages and enums of a file that are no RPC's own. */
function shared(file: DescFile): (DescMessage | DescEnum)[] {
  const own = new Set(file.services.flatMap(({ methods }) => methods.flatMap(({ input, output }) => [input, output])));
  return [...file.messages.filter((message) => !own.has(message)), ...file.enums];
}

function linkTo(type: DescMessage | DescEnum): string {
  if (type.file.proto.package !== 'hostler.v1') return `\`${type.typeName}\``;
  return `[${type.name}](${messagesPage(type)}.md#${anchor(type.name)})`;
}
