/** Tables for people, on terminals of any width. */
import assert from 'node:assert/strict';
import { table } from '../../../src/cli/text.js';

const HEADER = ['ID', 'STATE', 'PATH'];
const ROWS = [
  ['01', 'running', '/images/a folder/of/long/names.qcow2'],
  ['02', '', '/b'],
];

describe('a table', () => {
  it('has its columns aligned, in a pipe and where the terminal has room', () => {
    const wide = ['ID  STATE    PATH', '01  running  /images/a folder/of/long/names.qcow2', '02           /b'].join(
      '\n',
    );
    for (const columns of [Infinity, 200, 80, 60, 40]) assert.equal(table(HEADER, ROWS, columns), wide);
  });

  it('is a list of names and values for each row where the terminal is narrow', () => {
    const narrow = [
      'id     01',
      'state  running',
      'path   /images/a folder/of/long/names.qcow2',
      '',
      'id    02',
      'path  /b',
    ];
    for (const columns of [20, 12, 1]) assert.equal(table(HEADER, ROWS, columns), narrow.join('\n'));
    assert.equal(table(HEADER, ROWS, 21).split('\n').length, 3);
  });

  it('first loses the columns that have no value', () => {
    const header = ['ID', 'REASON', 'PATH'];
    const rows = [['01', '', '/a/long/path']];
    assert.equal(table(header, rows, 20), 'ID  REASON  PATH\n01          /a/long/path');
    assert.equal(table(header, rows, 19), 'ID  PATH\n01  /a/long/path');
    assert.equal(table(header, rows, 11), 'id    01\npath  /a/long/path');
  });

  it('of no rows is its header, however narrow', () => {
    assert.equal(table(HEADER, [], 5), 'ID  STATE  PATH');
  });

  it('shows no control characters', () => {
    for (const columns of [1, 80]) assert.match(table(['A', 'B'], [['\x1b[2J', 'x']], columns), /\\x1b\[2J/);
  });
});
