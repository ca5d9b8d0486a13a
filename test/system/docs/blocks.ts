/** Command blocks of Markdown pages, and the marks before them that readers do not see. */

export interface Block {
  readonly page: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  readonly commands: string;
  /** What the page shows as its output; unset: nothing. */
  readonly output?: string;
  /** Why it cannot run in the test. */
  readonly skip?: string;
  /** It assumes a daemon at the default socket, with the root /srv/images. */
  readonly daemon: boolean;
  /** What the reader is assumed to have made. */
  readonly setup: string;
  /** A program without which it cannot run. */
  readonly needs?: string;
  /** The exit codes of its commands that fail, in their order. */
  readonly fails: readonly string[];
}

const FENCE = /^```(\w*)$/;
const SHELLS = new Set(['sh', 'bash', 'shell', 'console']);
/** `<!-- run: daemon; fails: 4 4 -->`, on the last line with text before the block. */
const MARK = /^<!-- run: (.*) -->$/;
const PARTS = ['daemon', 'skip', 'setup', 'needs', 'fails'];

/** Every command block of a page. Fails on a mark that it does not know. */
export function blocksOf(page: string, text: string): Block[] {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, language] = FENCE.exec(lines[at] ?? '') ?? [];
    if (language === undefined) continue;
    const end = lines.indexOf('```', at + 1);
    const content = lines.slice(at + 1, end).join('\n');
    const last = blocks.at(-1);
    if (SHELLS.has(language))
      blocks.push({ page, line: at + 1, commands: content, ...marked(lines.slice(0, at), `${page}:${String(at)}`) });
    else if (language === 'text' && last !== undefined && isSameSection(lines.slice(last.line, at)))
      blocks.splice(-1, 1, { ...last, output: content });
    at = end;
  }
  return blocks;
}

function isSameSection(between: readonly string[]): boolean {
  return !between.some((line) => line.startsWith('#'));
}

function marked(before: readonly string[], place: string): Omit<Block, 'page' | 'line' | 'commands' | 'output'> {
  const [, mark = ''] = MARK.exec(before.findLast((line) => line.trim() !== '') ?? '') ?? [];
  const parts = new Map(
    mark
      .split('; ')
      .filter((part) => part !== '')
      .map((part) => {
        const [name = '', ...rest] = part.split(': ');
        return [name, rest.join(': ')] as const;
      }),
  );
  for (const name of parts.keys()) if (!PARTS.includes(name)) throw new Error(`${place}: no mark is called ${name}`);
  const [skip, program] = [parts.get('skip'), parts.get('needs')];
  return {
    daemon: parts.has('daemon'),
    setup: parts.get('setup') ?? '',
    fails: parts.get('fails')?.split(' ') ?? [],
    ...(skip === undefined ? {} : { skip }),
    ...(program === undefined ? {} : { needs: program }),
  };
}
