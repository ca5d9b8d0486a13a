/** What the pages tell a reader to type works, and prints what they show. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { installed, needs } from '../../support/needs.js';
import { blocksOf, type Block } from './blocks.js';
import { runPage, type Outcome } from './page-shell.js';

const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: ROOT_FOLDER }).toSorted()];
const blocksOfPages = pages.map((page) => blocksOf(page, readFileSync(join(ROOT_FOLDER, page), 'utf8')));

/** Digests and allocated sizes depend on the filesystem and the version of qemu. */
const stable = (text: string) =>
  text.replaceAll(/\b[0-9a-f]{64}\b/g, 'DIGEST').replaceAll(/[\d.]+ [KMG]iB (?=on disk|over the network)/g, 'SIZE ');

const isHere = (program: string) => installed(program) || existsSync(join(ROOT_FOLDER, '.cache/go/bin', program));

/** More than the shell of a page may take. */
const PAGE_MS = 300_000;

describe('command blocks', () => {
  it('are found in the README and in the pages', () => {
    assert.ok(blocksOfPages.flat().length >= 20);
    assert.ok(blocksOfPages.flat().some(({ page }) => page === 'README.md'));
  });

  for (const blocks of blocksOfPages.filter(({ length }) => length > 0))
    describe(`of ${blocks[0]?.page ?? ''}`, () => {
      const canRun = (block: Block) => block.skip === undefined && isHere(block.needs ?? 'sh');
      let outcomes: ReadonlyMap<Block, Outcome> = new Map();

      before(async function () {
        this.timeout(PAGE_MS);
        if (!blocks.some(canRun)) return;
        needs(this, process.getuid?.() === 0, 'needs root, for a host of its own');
        outcomes = await runPage(blocks.filter(canRun));
      });

      for (const block of blocks)
        it(`line ${String(block.line)}: ${block.commands.split('\n', 1).join('')}`, function () {
          needs(this, block.skip === undefined, block.skip ?? '');
          needs(this, canRun(block), `${block.needs ?? ''} is not installed`);
          const outcome = outcomes.get(block);
          assert.ok(outcome?.ended, `it does not end\n${outcome?.output ?? ''}`);
          assert.deepEqual(outcome.failures, block.fails, outcome.output);
          if (block.output !== undefined)
            assert.ok(stable(outcome.output).includes(stable(block.output)), outcome.output);
        });
    });
});
