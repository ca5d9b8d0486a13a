/** Comments of proto/ as Markdown. */
import { REASON_GROUPS } from '../../../src/domain/model/reasons/groups.js';
import { isReason } from '../../../src/domain/model/reasons/reasons.js';

const MOST_COLUMNS = 100;

/** Between words, but not before one that would begin a list or heading at the start of a line. */
const BREAK = /\s+(?!(?:[-+*#>]+|\d+\.)\s)/;

/** Lines of at most 100 columns, as far as words allow. */
export function wrapped(text: string): string {
  const lines: string[] = [];
  for (const word of text.trim().split(BREAK)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > MOST_COLUMNS) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join('\n');
}

/** One line of a table. */
export function cell(text: string): string {
  return marked(text).replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim();
}

/** Reasons and whole words with underscores as code. */
export function marked(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replaceAll(/\b[A-Za-z]\w*\b/g, asCode)))
    .join('');
}

function asCode(word: string): string {
  return isReason(word) || word.includes('_') ? `\`${word}\`` : word;
}

/** `as finding an image` as a link to the group. */
export function linkedGroups(text: string): string {
  const names = Object.keys(REASON_GROUPS).sort((a, b) => b.length - a.length);
  return text.replaceAll(new RegExp(`\\bas (${names.join('|')})\\b`, 'g'), (_all, name: string) => {
    return `as [${name}](reasons.md#${name.replaceAll(' ', '-')})`;
  });
}

/** What the comment of an RPC says, by subject. Empty: it says nothing of that. */
export interface RpcText {
  readonly what: string;
  /** Sentences that speak of a crash. */
  readonly crash: string;
  /** From `Fails` on. */
  readonly fails: string;
  /** Which result of an operation it has. */
  readonly result: string;
}

export function rpcText(comment: string): RpcText {
  const [text = ''] = comment.replaceAll(/\s+/g, ' ').split('buf:lint');
  const [before = '', result = ''] = text.split('Result: ');
  const at = before.search(/(?<!\S)Fails (?:as|with:) /);
  const sentences = before
    .slice(0, at)
    .trim()
    .split(/(?<=[.:]) (?=[A-Z`])/);
  const ofCrash = sentences.filter((sentence) => /\bcrash\b/.test(sentence));
  return {
    what: sentences.filter((sentence) => !ofCrash.includes(sentence)).join(' '),
    crash: ofCrash.join(' '),
    fails: before.slice(at).trim(),
    result: result.trim().replace(/\.$/, ''),
  };
}

/** What the comment of operation.proto says of a group of reasons. */
export interface GroupText {
  /** Empty: nothing but the reasons. */
  readonly what: string;
  /** From `Fails` on. */
  readonly fails: string;
}

/** Each group that a comment has, by its name. */
export function groupTexts(comment: string): Map<string, GroupText> {
  const found = comment.matchAll(/Group `([^`]+)`[.:]([^]*?)(?<!\S)(Fails\s[^]*?)(?=\n\s*\n|$)/g);
  return new Map([...found].map(([, name = '', what = '', fails = '']) => [name, { what: what.trim(), fails }]));
}
