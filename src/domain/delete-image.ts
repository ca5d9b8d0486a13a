import type { ImageAddress } from './address.js';
import { asHostlerError } from './errors.js';
import type { DeleteResult } from './operations/record.js';
import type { Verb } from './operations/verb.js';
import type { Files } from './ports.js';

export interface DeleteSpec {
  readonly address: ImageAddress;
  readonly missingOk: boolean;
  readonly allowInUse: boolean;
}

/** Removes an image file; a link is removed, not followed. After a crash it is there whole, or gone. */
export function deleteImage({ files }: { readonly files: Files }): Verb<DeleteSpec, DeleteResult> {
  return {
    name: 'DeleteImage',
    slot: () => 'none',
    uses: ({ address, missingOk, allowInUse }) => [{ role: 'removal', address, missingOk, allowInUse }],

    async plan({ address }, { target }) {
      const { existing, directory } = target(address);
      const why = existing === undefined ? 'there is nothing to remove' : `the ${existing.type} is removed`;
      return {
        kind: 'plan',
        method: 'delete',
        why,
        moveBytes: 0n,
        needBytes: 0n,
        freeBytes: await files.freeBytes(directory),
      };
    },

    async run({ address, missingOk }, run) {
      const target = run.target(address);
      if (target.existing === undefined) return { kind: 'delete', existed: false, freedBytes: 0n };
      const result: DeleteResult = { kind: 'delete', existed: true, freedBytes: target.existing.allocatedBytes };
      try {
        return await run.commit('DELETING', { address, result }, () => files.remove(target));
      } catch (error) {
        // Somebody else was faster.
        if (missingOk && asHostlerError(error).reason === 'IMAGE_NOT_FOUND')
          return { kind: 'delete', existed: false, freedBytes: 0n };
        throw error;
      }
    },
  };
}
