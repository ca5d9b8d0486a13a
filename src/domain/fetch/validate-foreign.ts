import { HostlerError } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts } from '../model/image-info.js';
import { assertToolSays } from '../images/ask-tool.js';
import { assertWithinForeignLimits } from '../images/image-policy.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import { assertDisk, withHint } from './assert-disk.js';
import type { Archives, SourceFacts } from '../ports/sources.js';
import type { Resolved } from '../ports/handles.js';
import type { StagingFile, ResolvedTarget } from '../ports/targets.js';
import type { ImageTool, Layer } from '../ports/tools.js';

export interface JudgePorts {
  readonly files: Files;
  readonly reader: ImageReader;
  readonly tool: ImageTool;
  readonly archives: Archives;
}

/**
 * The facts of an image from outside, if it may be used: the daemon's reader and the tool agree on
 * its format, nothing in it reaches beyond it, and it is not too large. Fails as
 * `ImageReader.foreign`, and with IMAGE_TOO_LARGE.
 */
export async function validateForeign(
  file: StagingFile,
  target: ResolvedTarget,
  declared: { readonly format?: ImageFormat; readonly maxSizeBytes?: bigint },
  run: Run,
  { files, reader, tool, archives }: JudgePorts,
): Promise<Layer> {
  run.phase('INSPECTING');
  const taken = await privateFile(file, target, files);
  assertWithinForeignLimits(taken, reader.foreignRules);
  const facts = await reader.foreign(taken, declared.format).catch(async (error: unknown) => {
    throw await withHint(error, taken, run.tool(), { files, archives });
  });
  if (facts.format === 'raw') await assertDisk(taken, declared.format !== undefined, run.tool(), { files, archives });
  assertSize(facts, declared.maxSizeBytes, target.address);
  await reader.assertWhole(taken, facts.format, run.signal);
  await run.step('identify');
  const layer: Layer = { file: taken, format: facts.format, facts, untrusted: 'quarantined' };
  await assertToolSays(layer, tool, run.tool());
  return layer;
}

/** Refuses an image by the size that the source announces, before any data arrives. */
export function assertAnnouncedSize(maxSizeBytes: bigint | undefined, what: string): (facts: SourceFacts) => void {
  return ({ virtualSizeBytes = 0n, minDiskBytes = 0n }) => {
    if (maxSizeBytes === undefined) return;
    if (minDiskBytes > maxSizeBytes)
      throw new HostlerError('IMAGE_TOO_LARGE', `${what} needs a disk of ${String(minDiskBytes)} bytes`, {
        facts: { source: what, min_disk_bytes: String(minDiskBytes), allowed: String(maxSizeBytes) },
      });
    assertSize({ virtualSizeBytes }, maxSizeBytes, what);
  };
}

/**
 * Fails with IMAGE_TOO_LARGE if the virtual size exceeds `max_size_bytes`; undefined allows any.
 * `what` names the image in the message.
 */
export function assertSize(
  { virtualSizeBytes }: Pick<ImageFacts, 'virtualSizeBytes'>,
  maxSizeBytes: bigint | undefined,
  what: string,
): void {
  if (maxSizeBytes === undefined || virtualSizeBytes <= maxSizeBytes) return;
  const [size, allowed] = [String(virtualSizeBytes), String(maxSizeBytes)];
  throw new HostlerError('IMAGE_TOO_LARGE', `${what} is a disk of ${size} bytes; max_size_bytes allows ${allowed}`, {
    facts: { path: what, virtual_size_bytes: size, allowed },
  });
}

/** A file of a private folder as a source to read. */
async function privateFile(
  file: StagingFile,
  { address, storedName }: ResolvedTarget,
  files: Files,
): Promise<Resolved> {
  const { device, inode, lengthBytes, modifyTimeNs } = await files.fingerprint(file);
  const allocatedBytes = await files.allocatedBytes(file);
  const { handle, name } = file;
  const place = { storage: 'file' as const, address, storedName, writable: true, trusted: false };
  return { ...place, name, handle, device, inode, lengthBytes, allocatedBytes, modifyTimeNs };
}
