/**
 * Texts that patterns look at again and again, as long as a field may be, in every text of every
 * request. The watchdog of all daemons says whether one of them held the main thread.
 */
import assert from 'node:assert/strict';
import { boundOf } from '../../../src/server/bounds/field-bounds.js';
import { suiteDaemon } from '../../support/daemon.js';
import { plausible, requestOf, requestWith, stringFields } from '../../support/descriptors.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, RPCS } from '../../support/stranger.js';

const HOSTILE = ['/', ' ', '0', 'a', ',', '\uFFFD'];
/** Long enough for whatever grows with the square. */
const LENGTH = 500_000;
/** Of those that would never end by themselves. */
const WATCH_MS = 100;

describe('texts that cost time', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);

  /** As long as the field at the path may be. */
  const bytesAt = (rpc: string, path: readonly string[]): number => {
    let message = requestOf(rpc);
    let bytes = 0;
    for (const name of path) {
      const field = message.fields.find((each) => each.name === name);
      const bound = boundOf(`${message.typeName}.${name}`);
      if (bound !== undefined && 'bytes' in bound) bytes = bound.bytes ?? 0;
      if (field?.message !== undefined) message = field.message;
    }
    return Math.min(bytes, LENGTH);
  };

  for (const { rpc, requestStream, responseStream } of RPCS.filter(
    ({ rpc: name }) => name !== 'CommandService/Execute',
  ))
    it(rpc, async () => {
      for (const path of stringFields(requestOf(rpc)))
        for (const unit of HOSTILE) {
          const count = Math.floor(bytesAt(rpc, path) / Buffer.byteLength(unit));
          const value = `${path.at(-1)?.endsWith('path') === true ? '/' : ''}${unit.repeat(count - 2)}x`;
          const request = requestWith(rpc, plausible(rpc), path, value);
          const { stranger } = daemon.get();
          const call = requestStream
            ? stranger.send(rpc, [request])
            : responseStream
              ? stranger.all(rpc, request, { deadline: Date.now() + WATCH_MS })
              : stranger.unary(rpc, request);
          const error = await call.then(
            () => undefined,
            (failed: unknown) => failed,
          );
          assert.ok(error === undefined || error instanceof CallError, String(error));
          if (error !== undefined) assert.notEqual(error.reason, 'BUG', `${path.join('.')} of ${unit}`);
        }
    });
});
