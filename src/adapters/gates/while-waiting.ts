/**
 * Calls `tell` at each interval while the work is not done, so that a wait without a limit is
 * reported.
 */
export async function whileWaiting<T>(everyMs: number, tell: () => void, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(tell, everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
