/** CommitImage into every layer of a chain, whatever lies above and below it. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { assertSound, guestContent, guestWrites } from '../../support/images/chains.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

/** The lowest layer, as others write it. */
const BASES: Readonly<Record<string, readonly string[]>> = {
  qcow2: [],
  raw: [],
  vpc: ['-o', 'subformat=fixed,force_size=on'],
};

describe('commit into each layer of a chain', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);

  /**
   * So many layers, from the base up; each has data of its own and some that the next one hides.
   */
  const chain = async (name: string, layers: number, base: string) => {
    const folder = daemon.get().image(name);
    await mkdir(folder);
    await writeFile(`${folder}/disk`, noise(4 << 20));
    const paths = [`${folder}/0`];
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', base, ...(BASES[base] ?? []), `${folder}/disk`, `${folder}/0`);
    for (let layer = 1; layer < layers; layer++) {
      const [below, path] = [String(layer - 1), `${folder}/${String(layer)}`];
      // Names as others write them: relative, and absolute.
      const stored = layer % 2 === 0 ? below : `${folder}/${below}`;
      const size = layer === layers - 1 ? '8M' : '4M';
      const format = layer === 1 ? base : 'qcow2';
      await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', format, '-b', stored, path, size);
      await guestWrites(path, [{ pattern: layer, at: layer % 4, length: 1 }]);
      paths.push(path);
    }
    return paths;
  };
  const formatOf = (base: string, layer: number) => (layer === 0 ? base : 'qcow2');

  for (const [base, layers] of [
    ['qcow2', 3],
    ['qcow2', 5],
    ['raw', 4],
    ['vpc', 4],
  ] as const)
    for (let into = base === 'vpc' ? 1 : 0; into < layers - 1; into++)
      it(`${String(layers)} layers on ${base}, into layer ${String(into)}`, async () => {
        const paths = await chain(`${base}-${String(layers)}-${String(into)}`, layers, base);
        const [path = '', written = ''] = [paths.at(-1), paths[into]];
        const before = await guestContent(path);
        const others = await Promise.all(
          paths.slice(0, into).map((lower, at) => guestContent(lower, formatOf(base, at))),
        );
        const request = { path, format: 'qcow2', base: written, allow_dependants: true };
        await daemon.get().stranger.operation('ImageService/CommitImage', request);
        assert.ok((await guestContent(path)).equals(before), 'the image has the content that it had');
        assert.ok((await guestContent(written, formatOf(base, into))).equals(before), 'the layer has all of it');
        for (const [at, content] of others.entries())
          assert.ok((await guestContent(paths[at] ?? '', formatOf(base, at))).equals(content), 'below nothing changed');
        for (const each of paths.slice(1)) await assertSound(each);
      });
});
