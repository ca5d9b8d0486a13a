import assert from 'node:assert/strict';
import { BadFileLog, MOST_BAD_FILES, firstOf, type BadFile } from '../../../src/adapters/index/bad-files.js';

const bad = (n: number): BadFile => ({
  path: `/images/${String(n)}`,
  why: 'broken',
  file: { device: 1n, inode: BigInt(n), lengthBytes: 0n },
});

describe('warnings of bad files', () => {
  it('end when there are too many, and say so once', () => {
    const heard: string[] = [];
    const log = new BadFileLog(() => false, { bad: (path) => heard.push(path), full: () => heard.push('full') });
    for (let round = 0; round < 2; round++) for (let n = 0; n < 2 * MOST_BAD_FILES; n++) log.hear(bad(n));
    assert.equal(heard.length, MOST_BAD_FILES + 1);
    assert.equal(heard.at(-1), 'full');
  });
  it('are not sent by a thread without end', () => {
    let sent = 0;
    const report = firstOf(() => (sent += 1));
    for (let n = 0; n < 2 * MOST_BAD_FILES; n++) report(bad(n));
    assert.equal(sent, MOST_BAD_FILES);
  });
});
