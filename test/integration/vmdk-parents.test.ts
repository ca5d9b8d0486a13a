/**
 * What qemu's vmdk driver opens because of what an image says, our reader has seen before: qemu-img
 * itself is the witness.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { detectFormat } from '../../src/domain/formats/magic.js';
import { readVmdk } from '../../src/domain/formats/vmdk.js';
import { inMemory } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';

/** Of the text in an image that qemu-img made. */
const [AREA, AREA_BYTES] = [512, 20 * 512];
const HINT = 'parentFileNameHint';

describe('the parent of a VMDK', () => {
  const scratch = scratchFolder();
  const base = () => scratch.path('base.vmdk');
  before(() => sh('qemu-img', 'create', '-q', '-f', 'vmdk', base(), '1M'));

  /** An image whose text is what `change` makes of qemu-img's own. */
  const imageWith = async (name: string, change: (text: string) => string): Promise<string> => {
    const path = scratch.path(name);
    await sh('qemu-img', 'create', '-q', '-f', 'vmdk', path, '1M');
    const content = await readFile(path);
    const text = content.toString('latin1', AREA, AREA + AREA_BYTES).replace(/\0+$/, '');
    content.fill(0, AREA, AREA + AREA_BYTES);
    content.write(change(text), AREA, AREA_BYTES, 'latin1');
    await writeFile(path, content);
    return path;
  };
  /** What qemu would open; undefined: nothing, or not this image at all. */
  const byQemu = async (path: string): Promise<string | undefined> => {
    const { code, stdout } = await tryRun('qemu-img', ['info', '-f', 'vmdk', '--output=json', path]);
    if (code !== 0) return undefined;
    return (JSON.parse(stdout) as { 'backing-filename'?: string })['backing-filename'];
  };
  const byUs = async (path: string) => (await readVmdk(inMemory(await readFile(path)))).backingFile;

  const cases: [string, (text: string) => string, (() => string | undefined)?][] = [
    ['none', (text) => text, () => undefined],
    ['on a line of its own, with the id of no parent', (text) => `${text}\n${HINT}="${base()}"\n`],
    ['after a blank', (text) => `${text}\n  ${HINT}="${base()}"\n`],
    ['in a comment', (text) => `${text}\n# ${HINT}="${base()}"\n`],
    ['within another word', (text) => `${text}\nddb.x${HINT}="${base()}"\n`],
    ['with other signs before the name', (text) => `${text}\n${HINT}::${base()}"\n`],
    ['the first of two', (text) => `${HINT}="${base()}"\n${text}\n${HINT}="/dev/null"\n`],
    ['over the end of a line', (text) => `${text}\n${HINT}="\n${base()}"\n`, () => `\n${base()}`],
    ['behind the end of the text', (text) => `${text}\0${HINT}="${base()}"\n`, () => undefined],
    ['an empty name', (text) => `${text}\n${HINT}=""\n`, () => undefined],
  ];
  for (const [n, [name, change, wanted = base]] of cases.entries())
    it(name, async () => {
      const path = await imageWith(`${String(n)}.vmdk`, change);
      assert.equal(await byUs(path), wanted());
      // qemu-img does not say the name of a base that is not there.
      if (name !== 'over the end of a line') assert.equal(await byQemu(path), wanted());
    });

  it('a name without an end is no image for qemu, nor for us', async () => {
    const path = await imageWith('endless.vmdk', (text) => `${text}\n${HINT}="${'x'.repeat(2000)}`);
    await assert.rejects(byUs(path), /no end/);
    assert.equal((await tryRun('qemu-img', ['info', '-f', 'vmdk', path])).code, 1);
  });

  it('every text that qemu takes for a VMDK is one for us', async () => {
    const rest = `CID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2 FLAT "disk" 0\n`;
    await writeFile(scratch.path('disk'), Buffer.alloc(1024));
    const takenByQemu: string[] = [];
    for (const beginning of [
      'version=1\n',
      'version=3\r\n',
      '\nversion=2\n',
      '\r\nversion=2\n',
      '   \nversion=2\n',
      '  \r\nversion=2\n',
      '#!/bin/sh\nversion=2\n',
      '#\n   \n#\nversion=2\n',
      `${'#\n'.repeat(250)}version=1\n`,
      `${'#\n'.repeat(252)}version=1\n`,
      ' version=1\n',
      'version=1 \n',
      'version=4\n',
      'x\nversion=1\n',
    ]) {
      const path = scratch.path('text');
      await writeFile(path, beginning + rest);
      const { format } = JSON.parse(await sh('qemu-img', 'info', '--output=json', path)) as { format: string };
      if (format === 'vmdk') takenByQemu.push(beginning);
      const ours = await detectFormat(inMemory(await readFile(path)));
      assert.ok(format === ours || format === 'raw', `${JSON.stringify(beginning)}: ${format}, not ${ours}`);
    }
    assert.ok(takenByQemu.length >= 4, takenByQemu.join('|'));
    for (const other of ['version=4\n', 'x\nversion=1\n', ' version=1\n', '#\n'.repeat(600), '\n'.repeat(600)])
      assert.equal(await detectFormat(inMemory(Buffer.from(other + rest))), 'raw');
  });
});
