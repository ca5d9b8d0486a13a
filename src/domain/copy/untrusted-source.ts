import { assertWithinForeignLimits } from '../images/image-policy.js';
import type { Run } from '../operations/verb.js';
import type { ImageReader } from '../images/read-image.js';
import type { AddressedFile } from '../ports/handles.js';

/** Where a file comes from: another root, a peer, or a host that is reached by ssh. */
interface Origin {
  /** Whether files from there are trusted like those in a trusted root. */
  readonly trusted: boolean;
}

/** Checked before any byte is received. Fails with SANDBOX_UNAVAILABLE, IMAGE_TOO_LARGE. */
export function assertLengthWithinLimits(
  file: { readonly address: string; readonly lengthBytes: bigint },
  { trusted }: Origin,
  reader: ImageReader,
): void {
  if (!trusted) assertWithinForeignLimits(file, reader.foreignRules);
}

/**
 * A file in a trusted root is trusted from then on, so a file from elsewhere must be harmless and
 * complete, in the format that its content claims. Fails as `ImageReader.foreign` and
 * `ImageReader.assertWhole`.
 */
export async function assertSafeForTrustedRoot(
  file: AddressedFile,
  from: Origin,
  to: Origin,
  reader: ImageReader,
  { signal }: Run,
): Promise<void> {
  if (from.trusted || !to.trusted) return;
  const { format } = await reader.foreign(file, undefined);
  await reader.assertWhole(file, format, signal);
}
