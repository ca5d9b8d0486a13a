/**
 * Prints docs/config.md: every key of the configuration, from the comments of the example. A test of
 * the configuration checks that the example has every key, with the default of the schema.
 */
import { readFileSync } from 'node:fs';

interface Key {
  readonly name: string;
  readonly value: string;
  /** False: the example shows the key in a comment, because it has no default. */
  readonly set: boolean;
  readonly meaning: string;
}
interface Section {
  readonly header: string;
  readonly intro: readonly string[];
  readonly keys: Key[];
}

const SECTION = /^(?:# )?(\[+[\w.]+\]+)$/;
const KEY = /^(# )?(\w+) = (.*)$/;

/** The sections in the order of the example; of one that is shown twice the keys are put together. */
function sections(text: string): Section[] {
  let section: Section = { header: 'At the top', intro: [], keys: [] };
  const all = new Map([[section.header, section]]);
  let comment: string[] = [];
  for (const line of text.split('\n')) {
    const [, header] = SECTION.exec(line) ?? [];
    const [, unset, name = '', value = ''] = KEY.exec(line) ?? [];
    if (header !== undefined) {
      section = all.get(header) ?? { header, intro: comment, keys: [] };
      all.set(header, section);
    } else if (name !== '') {
      const known = section.keys.some((key) => key.name === name);
      if (!known) section.keys.push({ name, value, set: unset === undefined, meaning: comment.join(' ') });
    } else if (line.startsWith('# ')) {
      comment.push(line.slice(2).replaceAll('*', String.raw`\*`));
      continue;
    }
    comment = [];
  }
  return [...all.values()];
}

function row({ name, value, set, meaning }: Key): string {
  const shown = `\`${value.replaceAll('|', String.raw`\|`)}\``;
  return `| \`${name}\` | ${set ? shown : `(${shown})`} | ${meaning.replaceAll('|', String.raw`\|`)} |`;
}

function chapter({ header, intro, keys }: Section): string {
  const title = header.startsWith('[') ? `\`${header}\`` : header;
  const words = intro.length === 0 ? '' : `${intro.join('\n')}\n\n`;
  const table = `| key | default | meaning |\n| --- | --- | --- |\n${keys.map(row).join('\n')}`;
  return `## ${title}\n\n${words}${table}`;
}

const example = readFileSync('packaging/hostler.example.toml', 'utf8');
process.stdout.write(`# Configuration

Every key of \`/etc/hostler/hostler.toml\` with its default. \`hostlerd --check-config\` checks a file,
\`--show-config\` prints the settings in force. Unknown keys are errors. A value in brackets
is an example: the key is unset by default, or its section does not exist by default. A key without
a meaning shares that of the key above it, or of the section. This file is generated from
\`packaging/hostler.example.toml\`.

${sections(example).map(chapter).join('\n\n')}
`);
