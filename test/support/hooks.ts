/** What holds for every file of tests, checked when its last test has ended. */
import assert from 'node:assert/strict';
import { allEnded, settle } from './daemon.js';
import { takeLeaks } from './secrets.js';
import { assertNeverHeld, watchDaemons } from './watchdog/held.js';

watchDaemons();

/**
 * A test of this file has failed, though it may pass when it runs again: what it has left says
 * nothing more.
 */
let failed = false;

export const mochaHooks = {
  /**
   * A hook that fails would take the other tests of its suite along: the look is a part of the
   * test.
   */
  beforeEach(this: Mocha.Context) {
    const test = this.currentTest;
    const body = test?.fn as Mocha.AsyncFunc | undefined;
    if (test === undefined || body === undefined) return;
    test.fn = async function (this: Mocha.Context) {
      try {
        await body.call(this);
        assertNeverHeld();
      } catch (error) {
        failed = true;
        throw error;
      }
    };
  },

  async afterEach(this: Mocha.Context) {
    if (this.currentTest?.state !== 'failed') return;
    // A daemon that does not answer is what the test has failed with, or what the next one fails
    // with.
    await settle().catch((error: unknown) => process.stderr.write(`after a failed test: ${String(error)}\n`));
  },

  async afterAll() {
    const left = await allEnded();
    if (!failed) assert.deepEqual(left, [], 'daemons that a test has left running');
    failed = false;
    assertNeverHeld();
    assert.deepEqual(takeLeaks(), [], 'logs that hold a secret which a test gave to a daemon');
  },
};
