import { assertToolSays } from '../images/ask-tool.js';
import { assertWithinForeignLimits } from '../images/image-policy.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import { rawFacts } from '../images/raw-facts.js';
import { assertUnchanged } from '../images/unchanged.js';
import type { ImageAddress } from '../model/address.js';
import type { Resolved } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';
import type { Chain, ImageTool, Layer, Reflink } from '../ports/tools.js';

export interface TakePorts {
  readonly files: Files;
  readonly reader: ImageReader;
  readonly reflink: Reflink;
  readonly tool: ImageTool;
}

/**
 * Copies an untrusted image into the private folder of the staged image, where no other process can
 * change it between check and use, and checks it there: its declared format, the daemon's reader
 * and the tool must agree. Any other chain is returned unchanged. Fails as `ImageReader.foreign`,
 * and with SOURCE_CHANGED.
 */
export async function quarantine(
  chain: Chain,
  target: ImageAddress,
  part: StagedImage,
  run: Run,
  { files, reader, reflink, tool }: TakePorts,
): Promise<Chain> {
  const [{ file, format, untrusted }] = chain;
  if (untrusted !== 'inPlace') return chain;
  // It may have grown since it was resolved.
  const source = await files.refresh(file);
  assertWithinForeignLimits(source, reader.foreignRules);
  run.phase('CLONING');
  await run.step('take');
  const objection = await reflink.objection(source, run.target(target).directory);
  const cloned = objection === undefined && (await reflink.clone(source, part.aside, run.tool())) === true;
  if (!cloned) await copyIn(source, target, part, run, tool);
  await assertUnchanged([source], files);
  const { device, inode } = await files.fingerprint(part.aside);
  const taken = await files.refresh({ ...source, ...part.aside, device, inode });
  const facts = await reader.foreign(taken, format);
  await reader.assertWhole(taken, format, run.signal);
  await run.step('identify');
  const layer: Layer = { file: taken, format, facts, untrusted: 'quarantined' };
  await assertToolSays(layer, tool, run.tool());
  run.phase('INSPECTING');
  return [layer];
}

/** Copies the unchanged bytes, without holes. */
async function copyIn(
  source: Resolved,
  target: ImageAddress,
  part: StagedImage,
  run: Run,
  tool: ImageTool,
): Promise<void> {
  const data = source.allocatedBytes < source.lengthBytes ? source.allocatedBytes : source.lengthBytes;
  await run.reserve(target, data, part.aside);
  await tool.convert(
    // As raw bytes it may be read in place.
    [{ file: source, format: 'raw', facts: rawFacts(source), untrusted: 'quarantined' }],
    part.aside,
    { format: 'raw', compress: false, preallocation: 'off', direct: await part.canWriteDirectly(), shared: false },
    run.tool(),
  );
  // qemu's raw driver rounds up to 512.
  await part.aside.truncate(source.lengthBytes);
}
