/**
 * A process of its own: swaps a folder for a link that leads elsewhere, and back, as fast as it
 * can, until its standard input ends.
 */
import { renameSync, symlinkSync, unlinkSync } from 'node:fs';

const [, , folder = '', elsewhere = ''] = process.argv;
const hidden = `${folder}.hidden`;
/** So often without looking whether to stop. */
const ROUNDS = 50;
let swaps = 0;
let going = true;

function swap(): void {
  if (!going) {
    process.stdout.write(String(swaps));
    return;
  }
  for (let n = 0; n < ROUNDS; n++) {
    renameSync(folder, hidden);
    symlinkSync(elsewhere, folder);
    unlinkSync(folder);
    renameSync(hidden, folder);
    swaps += 1;
  }
  setImmediate(swap);
}

process.stdin.resume().on('end', () => (going = false));
swap();
