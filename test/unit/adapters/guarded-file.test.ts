/** What an open file keeps of what was written to it. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LocalTransfers } from '../../../src/adapters/files/local-transfers.js';
import { asAddress } from '../../../src/domain/model/address.js';
import { scratchFolder } from '../../support/scratch.js';

const [PIECES, PIECE_BYTES] = [50, 64 * 1024];

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('a file that is written in pieces', () => {
  const scratch = scratchFolder();

  it('keeps no piece in memory that was written', async () => {
    const folder = await open(scratch.path('.'));
    const handle = { fd: folder.fd, close: () => folder.close() };
    const writer = await new LocalTransfers().writer({ handle, name: 'part' }, asAddress('/part'));
    try {
      const pieces: WeakRef<Uint8Array>[] = [];
      for (let n = 0; n < PIECES; n++) {
        const piece = new Uint8Array(PIECE_BYTES);
        pieces.push(new WeakRef(piece));
        await writer.write(piece, BigInt(n * PIECE_BYTES));
      }
      await turn();
      collectGarbage();
      const left = pieces.filter((piece) => piece.deref() !== undefined).length;
      // The last one may still be in a variable of the loop.
      assert.ok(left <= 1, `${String(left)} of ${String(PIECES)}`);
    } finally {
      await writer.close();
      await folder.close();
    }
  });
});
