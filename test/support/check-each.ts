/**
 * Checks something after each test of a suite. What it finds is a failure of that test, and the
 * next one runs all the same: a hook that fails takes the rest of its suite along. Call inside
 * describe().
 */
export function checkEach(check: () => Promise<void>): void {
  beforeEach(function () {
    const test = this.currentTest;
    const body = test?.fn as Mocha.AsyncFunc | undefined;
    if (test === undefined || body === undefined) return;
    test.fn = async function (this: Mocha.Context) {
      await body.call(this);
      await check();
    };
  });
}
