/** Images that another program cuts off between the look at their header and the walk of their tables. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { findMissing, hasTables } from '../../../src/domain/formats/whole/find-missing.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { READABLE_FORMATS } from '../../../src/domain/model/image-format.js';
import { noise } from '../../support/images/disks.js';

/** What is left of the file: nothing, and parts of every header. */
const LEFT = [0, 1, 7, 8, 33, 47, 63, 71, 79, 103, 111, 200, 511, 512, 700];
const CLAIMED_BYTES = 1 << 20;
const TOO_MUCH = new Error('enough was read');

describe('an image that is cut off while it is read', () => {
  for (const format of READABLE_FORMATS.filter(hasTables))
    it(`${format}: its tables are looked for in what is left, or it is malformed`, async () => {
      for (const left of LEFT)
        for (const rest of [Buffer.alloc(left), noise(left)]) {
          let budget = 1 << 24;
          const bytes = {
            lengthBytes: BigInt(CLAIMED_BYTES),
            read: (offset: bigint, wanted: number) =>
              Promise.resolve(Buffer.from(rest.subarray(Number(offset), Number(offset) + wanted))),
          };
          const spend = (amount: number) => {
            budget -= amount;
            if (budget < 0) throw TOO_MUCH;
          };
          const error: unknown = await findMissing(bytes, format, spend).then(
            () => undefined,
            (failed: unknown) => failed,
          );
          if (error === undefined || error === TOO_MUCH) continue;
          assert.ok(error instanceof HostlerError, `${String(left)} bytes: ${inspect(error)}`);
          assert.equal(error.reason, 'IMAGE_MALFORMED');
        }
    });
});
