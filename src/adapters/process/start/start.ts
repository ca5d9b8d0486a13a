import { isMainThread } from 'node:worker_threads';
import { nodeStart } from './node-start.js';
import { posixStart } from './posix-start.js';
import type { Start } from './started.js';

let best: Start | undefined;

/**
 * Starts a child in the best way that this host offers. Only the main thread is notified of
 * children that end.
 */
export const start: Start = (file, args, options) => {
  best ??= (isMainThread ? posixStart() : undefined) ?? nodeStart;
  return best(file, args, options);
};
