/** System calls that Node does not offer, through an optional dependency. */
import { createRequire as requireFor } from 'node:module';
import type Koffi from 'koffi';
import { errnoOf } from './errno.js';

/** Undefined on a host without a build of koffi. */
export function loadKoffi(): typeof Koffi | undefined {
  try {
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- `require` knows no types
    return requireFor(import.meta.url)('koffi') as typeof Koffi;
  } catch (error) {
    if (errnoOf(error) === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
