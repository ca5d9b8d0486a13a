import type { Files } from '../../ports/images.js';
import type { Reason } from '../../model/reasons/reasons.js';
import type { Resolved } from '../../ports/handles.js';

/** Covers headers and the first tables. Reading it takes a tenth of a millisecond. */
const HEAD_BYTES = 256 * 1024;
/** Reasons of a tool that refuses before it changes anything. */
const REFUSALS: readonly Reason[] = ['UNSUPPORTED_BY_BACKEND', 'IMAGE_IN_USE', 'INVALID_FIELD', 'SNAPSHOT_NOT_FOUND'];

/** An image before it is changed. */
export interface Before {
  readonly file: Resolved;
  /** Its first bytes; unset if single bytes cannot be read. */
  readonly head?: Buffer;
}

/**
 * Takes the size, times and first bytes of an image before a tool may write to it. Only files can
 * be read byte by byte.
 */
export async function lookBefore(file: Resolved, files: Files): Promise<Before> {
  if (file.storage !== 'file') return { file };
  return { file, head: await headOf(file, files) };
}

/**
 * Whether the image is known to be unchanged. For a long image that is unknown after any failure
 * other than a refusal: data may have been written.
 */
export async function isUnwritten({ file, head }: Before, why: string | undefined, files: Files): Promise<boolean> {
  const now = await files.refresh(file);
  if (now.lengthBytes !== file.lengthBytes) return false;
  if (now.modifyTimeNs === file.modifyTimeNs) return true;
  if (head === undefined || now.allocatedBytes !== file.allocatedBytes) return false;
  const isWhole = file.lengthBytes <= BigInt(HEAD_BYTES);
  if (!isWhole && !REFUSALS.some((reason) => reason === why)) return false;
  return head.equals(await headOf(file, files));
}

function headOf(file: Resolved, files: Files): Promise<Buffer> {
  return files.withBytes(file, async (bytes) => Buffer.from(await bytes.read(0n, HEAD_BYTES)));
}
