/**
 * A process of its own: reads a harmless header often, then the given file's once; prints what the
 * latter cost as JSON.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { asHostlerError } from '../../../src/domain/model/errors.js';
import { readHeaderOf } from '../header.js';

const [, , harmless = '', hostile = ''] = process.argv;
const read = (path: string) =>
  readHeaderOf(path).then(
    (facts) => facts?.format ?? 'raw',
    (error: unknown) => asHostlerError(error).reason,
  );
for (let n = 0; n < 200; n++) await read(harmless);
global.gc?.();
// The high-water mark starts again from here: proc(5).
writeFileSync('/proc/self/clear_refs', '5');
const before = process.memoryUsage.rss();
const started = performance.now();
const answer = await read(hostile);
const ms = performance.now() - started;
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
process.stdout.write(JSON.stringify({ answer, ms, bytes: Math.max(0, peak - before) }));
