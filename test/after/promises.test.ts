/**
 * At the end of a run of all tests: what clients got in it, held against what the comments of
 * proto/ promise.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { needs, skips, type Skip } from '../support/needs.js';
import { promises } from '../support/reasons/promised.js';
import { seenPairs, type Pair } from '../support/reasons/seen.js';

const pairs = (pick: (each: ReturnType<typeof promises>[number]) => readonly string[]) =>
  promises().flatMap((each) => pick(each).map((reason): Pair => `${each.rpc} ${reason}`));

/** All of them, an RPC a line, as its failure prints them. */
function assertNone(these: readonly Pair[], what: string): void {
  const lines = new Map<string, string[]>();
  for (const pair of these) {
    const [rpc = '', reason = ''] = pair.split(' ');
    lines.set(rpc, [...(lines.get(rpc) ?? []), reason]);
  }
  const text = [...lines].map(([rpc, reasons]) => `\n  ${rpc}: ${reasons.join(' ')}`).join('');
  assert.ok(these.length === 0, `${what}:${text}`);
}

/** The skip of a test that would have made the pair: its title says so, or its file names both. */
function excuse(pair: Pair, all: readonly Skip[]): Skip | undefined {
  const [rpc = '', reason = ''] = pair.split(' ');
  const names = (file: string, ...words: readonly string[]) => {
    const text = readFileSync(file, 'utf8');
    return words.every((word) => text.includes(word));
  };
  return all.find(
    ({ title, file }) => title.endsWith(`${rpc}: ${reason}`) || (file !== '' && names(file, rpc, reason)),
  );
}

/**
 * No test makes the first. The others get clients that notes are not taken of: floods.test.ts and
 * bounds/ have such.
 */
const NOT_TO_BE_SEEN = ['BUG', 'WATCHER_TOO_SLOW', 'CALLER_AT_LIMIT'];

describe('after all tests, of what RPCs failed with', () => {
  const promised = pairs(({ reasons }) => reasons ?? []);
  const seen = seenPairs();

  it('each reason is one that the comment of its RPC names', () => {
    const named = new Set([...promised, ...pairs(({ common }) => common)]);
    // Operations are named too that no RPC is, such as what fills the cache.
    const rpcs = new Set(promises().map(({ rpc }) => rpc));
    const unnamed = [...seen].filter((pair) => rpcs.has(pair.split(' ')[0] ?? '') && !named.has(pair));
    assertNone(unnamed, 'came, and no comment names it');
  });

  it('each reason that every RPC can fail with came from one', function () {
    needsWholeRun(this);
    const came = new Set([...seen].map((pair) => pair.split(' ')[1] ?? ''));
    const common = new Set(promises().flatMap((each) => each.common));
    assert.deepEqual(
      [...common].filter((reason) => !came.has(reason) && !NOT_TO_BE_SEEN.includes(reason)),
      [],
    );
  });

  it('each that a comment names came', function () {
    needsWholeRun(this);
    const missing = promised.filter((pair) => !seen.has(pair));
    const excuses = missing.map((pair) => ({ pair, skip: excuse(pair, skips()) }));
    assertNone(
      excuses.filter(({ skip }) => skip === undefined).map(({ pair }) => pair),
      'is promised, and no test made it',
    );
    const texts = excuses.map(({ pair, skip }) => `${pair} (${skip?.reason ?? ''})`);
    needs(this, texts.length === 0, `tests that were skipped did not make ${texts.join(', ')}`);
  });
});

/** What has failed may have kept others from coming. */
function needsWholeRun(context: Mocha.Context): void {
  needs(context, process.env['HOSTLER_RUN_CODE'] === '0', 'tests have failed, so not all that is promised could come');
}
