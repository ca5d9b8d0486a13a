/**
 * What keeps the tree readable: few files a folder, no exported type name twice, comments of proto/
 * that end at 100 columns.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../support/daemon.js';

const MOST_FILES = 25;
/** Of a comment in proto/, `//` and what stands before it counted. */
const MOST_COLUMNS = 100;
/** Decisions are numbered, and none goes. */
const GROWS = ['docs/adr'];
const EXPORTED_TYPE = /^export (?:declare )?(?:abstract )?(?:interface|type|class|enum) (\w+)/gm;

const entries = (folder: string) => readdirSync(join(ROOT_FOLDER, folder), { recursive: true, withFileTypes: true });
const sources = entries('src').filter((each) => each.name.endsWith('.ts') && !each.parentPath.includes('/src/gen'));

/** Names that stand twice or more, each with the files where it stands. */
function repeated(names: Iterable<readonly [name: string, file: string]>): string[] {
  const files = Map.groupBy(names, ([name]) => name);
  return [...files]
    .filter(([, where]) => where.length > 1)
    .map(([name, where]) => `${name}: ${where.map(([, file]) => file).join(', ')}`);
}

describe('the house', () => {
  it('no folder has more files than one sees at a glance', () => {
    const files = ['src', 'test', 'bench', 'conformance', 'scripts', 'docs']
      .flatMap(entries)
      .filter((each) => each.isFile() && !each.parentPath.includes('/src/gen'));
    const counts = Map.groupBy(files, ({ parentPath }) => parentPath.slice(ROOT_FOLDER.length));
    const full = [...counts]
      .filter(([folder, { length }]) => length > MOST_FILES && !GROWS.includes(folder))
      .map(([folder, { length }]) => `${folder}: ${String(length)}`);
    assert.deepEqual(full, []);
  });

  it('no exported type name is declared twice', () => {
    const declared = sources.flatMap(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [...readFileSync(file, 'utf8').matchAll(EXPORTED_TYPE)].map(
        ([, type = '']) => [type, file.slice(ROOT_FOLDER.length)] as const,
      );
    });
    assert.ok(declared.length > 500, 'the sources are found');
    assert.deepEqual(repeated(declared), []);
  });

  it('comments of proto/ end at 100 columns', () => {
    const protos = entries('proto').filter((each) => each.name.endsWith('.proto'));
    const comments = protos.flatMap(({ parentPath, name }) =>
      readFileSync(join(parentPath, name), 'utf8')
        .split('\n')
        .map((line, at) => ({ line, place: `${name}:${String(at + 1)}` }))
        .filter(({ line }) => line.includes('//')),
    );
    assert.ok(comments.length > 500, 'the comments are found');
    assert.deepEqual(
      comments.filter(({ line }) => line.length > MOST_COLUMNS).map(({ place }) => place),
      [],
    );
  });
});
