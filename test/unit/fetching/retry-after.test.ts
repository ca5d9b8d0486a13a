/** When a busy server wants to be asked again. */
import assert from 'node:assert/strict';
import { assertGood } from '../../../src/adapters/http/http-source.js';
import type { HttpAnswer } from '../../../src/adapters/http/http-client.js';
import { asHostlerError } from '../../../src/domain/model/errors.js';

const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';

/** What the error of a 503 with these headers says. */
function waits(headers: Readonly<Record<string, string>>): number | undefined {
  const url = new URL('http://a.example/x');
  const body = { async *[Symbol.asyncIterator]() {} };
  const rest = { hasEnd: true, receivedBytes: () => 0, discard: () => undefined };
  const answer: HttpAnswer = { url, status: 503, header: (name) => headers[name], body, ...rest };
  try {
    assertGood(answer, url);
    return assert.fail('a 503 is no answer');
  } catch (error) {
    return asHostlerError(error).retryAfterMs;
  }
}

describe('Retry-After', () => {
  for (const [text, ms] of [
    ['Sun, 06 Nov 1994 08:49:41 GMT', 4000],
    ['Sunday, 06-Nov-94 08:49:41 GMT', 4000],
    ['Sun Nov  6 08:49:41 1994', 4000],
    ['Sun, 06 Nov 1994 08:49:30 GMT', 0],
    ['Mon, 07 Nov 1994 08:49:37 GMT', 60_000],
    ['3', 3000],
    ['soon', undefined],
    ['25:61:99', undefined],
  ] as const)
    it(`${text} is ${String(ms)} ms by the clock of the server`, () => {
      assert.equal(waits({ date: DATE, 'retry-after': text }), ms);
    });
  it('a time is by the clock of this host where the server has none', () => {
    const ms = waits({ 'retry-after': new Date(Date.now() + 30_000).toUTCString() }) ?? 0;
    assert.ok(ms > 0 && ms <= 30_000, String(ms));
  });
});
