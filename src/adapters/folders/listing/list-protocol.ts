/** Messages between the listing thread and the main thread. */
import type { FileKind } from '../../../domain/ports/handles.js';
import type { PageJob } from './page-reader.js';

/** Each question gets one answer, except `end`, which gets none. */
export type ListQuestion =
  | { readonly id: number; readonly kind: 'begin'; readonly job: PageJob }
  | { readonly id: number; readonly kind: 'step' | 'end' };

/**
 * Columns instead of objects for each entry: few objects whatever the size, which the main thread
 * decodes in turns.
 */
export interface PageColumns {
  /** Joined by slashes, which no name contains; one character for each byte. */
  readonly names: string;
  /** As many numbers for each entry as `FIELDS` has. */
  readonly numbers: readonly bigint[];
  readonly more: boolean;
  readonly last: string | undefined;
}

/** Fields of each entry in this order; the kind is an index into `KINDS`. */
export const FIELDS = ['kind', 'lengthBytes', 'allocatedBytes', 'mode', 'uid', 'gid', 'modifyTimeNs'] as const;
export const KINDS: readonly FileKind[] = ['file', 'folder', 'link', 'block', 'other'];

export type ListAnswer = { readonly id: number } & (
  | { readonly kind: 'resumes' }
  | ({ readonly kind: 'page' } & PageColumns)
  | { readonly kind: 'failed'; readonly errno: string | undefined; readonly text: string }
);
