/** The licenses of everything that a package of Hostler has in it, as one text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Part } from './parts.js';

const LICENSE_FILE = /^(?:licen[cs]e|notice|copying)/i;

/** One section for each package, with its license file, or with what its manifest says. */
export function noticesOf(parts: readonly Part[]): string {
  const sections = parts.map(({ name, version, license, folder }) => {
    const files = readdirSync(folder).filter((file) => LICENSE_FILE.test(file));
    const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
    const said = texts.length === 0 ? [`It has no license file. Its manifest says: ${license}`] : texts;
    return [`${'='.repeat(78)}\n${name} ${version}: ${license}`, ...said].join('\n\n');
  });
  return `The package has these works of others in it.\n\n${sections.join('\n\n')}\n`;
}
