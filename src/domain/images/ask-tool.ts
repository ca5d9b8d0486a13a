import { asHostlerError } from '../model/errors.js';
import type { ImageFacts } from '../model/image-info.js';
import { assertToolAgrees } from './image-policy.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { ImageTool, Layer, ToolRun } from '../ports/tools.js';

/**
 * The tool's report on an untrusted image, in the sandbox, must agree with the daemon's own reader.
 * A sound image that the tools of this host cannot open passes: it can be stored and copied, and a
 * verb that opens it fails. Fails with FORMAT_MISMATCH and IMAGE_UNSAFE.
 */
export async function assertToolSays(image: Layer, tool: Pick<ImageTool, 'identify'>, run: ToolRun): Promise<void> {
  const { file, facts } = image;
  try {
    assertToolAgrees(file.address, facts, await tool.identify(image, run));
  } catch (error) {
    if (!accepted(facts).includes(asHostlerError(error).reason)) throw error;
  }
}

/**
 * LUKS has ciphers and hashes that qemu lacks, and VHDX sectors of 4096 bytes. A guest's disk may
 * begin with a broken LUKS header.
 */
function accepted({ format, sectorBytes = 512, holdsLuks }: ImageFacts): Reason[] {
  if (holdsLuks === true) return ['UNSUPPORTED_BY_BACKEND', 'IMAGE_MALFORMED'];
  return format === 'luks' || sectorBytes !== 512 ? ['UNSUPPORTED_BY_BACKEND'] : [];
}
