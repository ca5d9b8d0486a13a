/**
 * Calls `tell` each time so long has passed and the work is not done: a wait without limit is never
 * a silent one.
 */
export async function whileWaiting<T>(everyMs: number, tell: () => void, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(tell, everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
