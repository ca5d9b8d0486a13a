/** bochs, cloop and dmg in a root of ours: whole they are converted, cut they are not. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needs } from '../../support/needs.js';
import { bochs, cloop, dmg } from '../../support/images/obsolete.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { CallError, failure } from '../../support/stranger.js';

const DISK = Buffer.concat([noise(256 << 10), Buffer.alloc(128 << 10, 'a text '), noise(128 << 10, 2)]);

describe('an image of a format that nobody makes any more', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const convert = async (image: Buffer, source_format: string): Promise<Buffer> => {
    await writeFile(at('image'), image);
    const request = { source: at('image'), source_format, target: at('out'), target_format: 'raw', overwrite: true };
    await daemon.get().stranger.operation('ImageService/ConvertImage', request);
    return readFile(at('out'));
  };

  for (const [format, make] of [
    ['bochs', bochs],
    ['cloop', cloop],
    ['dmg', dmg],
  ] as const)
    it(`${format}: whole it is converted, cut it is not`, async () => {
      const whole = make(DISK);
      assert.ok((await convert(whole, format)).equals(DISK));
      const lengths = [
        whole.length - 512,
        ...[0.9, 0.6, 0.3].map((part) => Math.floor((whole.length * part) / 512) * 512),
      ];
      for (const length of [...lengths, Math.floor(whole.length / 2), 600]) {
        const result = await convert(whole.subarray(0, length), format).catch((error: unknown) => error);
        // Nothing but padding may be missing.
        if (result instanceof Buffer) assert.ok(result.equals(DISK), `${String(length)} bytes`);
        else {
          assert.ok(result instanceof CallError);
          const reasons = ['IMAGE_MALFORMED', 'FORMAT_MISMATCH'];
          assert.ok(reasons.includes(result.reason), `${String(length)} bytes: ${result.reason} ${result.message}`);
        }
      }
    });

  for (const [where, rare] of [
    ['at the end', 7],
    ['in the middle', 2],
    ['at the start', 0],
  ] as const)
    it(`dmg with a chunk ${where} that the tools cannot expand: UNSUPPORTED_BY_BACKEND`, async function () {
      await writeFile(at('plain'), dmg(DISK));
      const { stderr } = await tryRun('qemu-img', ['info', '-f', 'dmg', at('plain')]);
      needs(this, stderr.includes('block-dmg-bz2 not found'), 'this qemu expands bzip2');
      const { reason, message } = await failure(convert(dmg(DISK, [rare]), 'dmg'));
      assert.equal(reason, 'UNSUPPORTED_BY_BACKEND', message);
    });
});
