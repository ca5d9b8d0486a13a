import { assertWithinForeignLimits } from '../images/image-policy.js';
import type { Run } from '../operations/verb.js';
import type { ImageReader } from '../images/read-image.js';
import type { AddressedFile } from '../ports/handles.js';

/** Where a file comes from: another root, a far agent, a host that is reached by ssh. */
interface Origin {
  /** What lies there is as good as what lies in a trusted root. */
  readonly trusted: boolean;
}

/** Before any byte comes. Fails with SANDBOX_UNAVAILABLE, IMAGE_TOO_LARGE. */
export function assertLengthWithinLimits(
  file: { readonly address: string; readonly lengthBytes: bigint },
  { trusted }: Origin,
  reader: ImageReader,
): void {
  if (!trusted) assertWithinForeignLimits(file, reader.foreignRules);
}

/**
 * Whatever lies in a trusted root is trusted from then on: what has come from elsewhere has to be
 * harmless and whole, in whatever format it claims to have. Fails as `ImageReader.foreign` and
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
