/** What the thread of lists and the main thread say to each other. */
import type { FileKind } from '../../../domain/ports/handles.js';
import type { PageJob } from './page-reader.js';

/** Each gets one answer, `end` none. */
export type ListQuestion =
  | { readonly id: number; readonly kind: 'begin'; readonly job: PageJob }
  | { readonly id: number; readonly kind: 'step' | 'end' };

/** Few objects, whatever the size: the main thread takes them apart in turns. */
export interface PageColumns {
  /** Joined by slashes, which no name has; a character a byte. */
  readonly names: string;
  /** Of each entry so many as `FIELDS`. */
  readonly numbers: readonly bigint[];
  readonly more: boolean;
  readonly last: string | undefined;
}

/** Of each entry, in this order; the kind is its place in `KINDS`. */
export const FIELDS = ['kind', 'lengthBytes', 'allocatedBytes', 'mode', 'uid', 'gid', 'modifyTimeNs'] as const;
export const KINDS: readonly FileKind[] = ['file', 'folder', 'link', 'block', 'other'];

export type ListAnswer = { readonly id: number } & (
  | { readonly kind: 'resumes' }
  | ({ readonly kind: 'page' } & PageColumns)
  | { readonly kind: 'failed'; readonly errno: string | undefined; readonly text: string }
);
