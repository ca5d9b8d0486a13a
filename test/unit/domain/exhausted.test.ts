/** What says that the host, or the daemon's share of it, is used up. */
import assert from 'node:assert/strict';
import { getSystemErrorMessage } from 'node:util';
import { constants } from 'node:os';
import { exhaustion } from '../../../src/domain/model/exhausted.js';

const error = (message: string, code?: string) => Object.assign(new Error(message), code === undefined ? {} : { code });

describe('exhaustion', () => {
  for (const errno of ['EMFILE', 'ENFILE', 'ENOMEM'] as const) {
    const words = getSystemErrorMessage(-constants.errno[errno]);
    const ways = [
      error(`${errno}: ${words}, open '/a'`, errno),
      error(`spawn /usr/bin/true ${errno}`, errno),
      error(`Worker initialization failure: ${errno}`, 'ERR_WORKER_INIT_FAILED'),
      error(`Cannot read package config /a: b/package.json: ${words}.`),
    ];
    for (const way of ways)
      it(`${errno}: ${way.message}`, () => {
        assert.equal(exhaustion(way)?.errno, errno);
      });
  }

  it('EAGAIN only where something is started', () => {
    assert.equal(exhaustion(error('spawn /usr/bin/true EAGAIN', 'EAGAIN'))?.errno, 'EAGAIN');
    assert.equal(exhaustion(error('EAGAIN: resource temporarily unavailable, read', 'EAGAIN')), undefined);
  });

  for (const other of [
    error("ENOSPC: no space left on device, open '/a'", 'ENOSPC'),
    error('Cannot read package config /a/package.json: permission denied.'),
    error('Cannot read package config /a/package.json: constructor.'),
    error('too many open files'),
    'EMFILE',
  ])
    it(`nothing else: ${String(other)}`, () => {
      assert.equal(exhaustion(other), undefined);
    });
});
