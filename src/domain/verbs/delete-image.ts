import type { ImageAddress } from '../model/address.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { DeleteResult } from '../operations/results.js';
import type { Use, Verb } from '../operations/verb.js';
import type { Files } from '../ports/images.js';

export interface DeleteSpec {
  readonly address: ImageAddress;
  readonly missingOk: boolean;
  readonly allowInUse: boolean;
  /** Continue although images are backed by it. */
  readonly allowDependants: boolean;
}

interface DeletePorts {
  readonly files: Files;
}

/**
 * Removes an image file; a link is removed, not followed. After a crash it is complete, or gone.
 */
export function deleteImage(ports: DeletePorts): Verb<DeleteSpec, DeleteResult> {
  return removal('DeleteImage', { kinds: ['file', 'link', 'volume'], missing: 'IMAGE_NOT_FOUND' }, ports);
}

/**
 * Removes one file of any kind except a folder; a link is removed, not followed. After a crash it
 * is complete, or gone.
 */
export function deleteFile(ports: DeletePorts): Verb<DeleteSpec, DeleteResult> {
  return removal('DeleteFile', { kinds: ['file', 'link', 'block', 'other'], missing: 'FILE_NOT_FOUND' }, ports);
}

function removal(
  name: string,
  own: Pick<Use & { role: 'removal' }, 'kinds' | 'missing'>,
  { files }: DeletePorts,
): Verb<DeleteSpec, DeleteResult> {
  const nothing: DeleteResult = { kind: 'delete', existed: false, freedBytes: 0n };
  return {
    name,
    slot: () => 'none',
    uses: (spec) => [{ role: 'removal', ...own, ...spec }],

    async plan({ address }, { removal: target }) {
      const { existing, directory } = target(address) ?? {};
      const why = existing === undefined ? 'there is nothing to remove' : `the ${existing.type} is removed`;
      const free = directory === undefined ? {} : { freeBytes: await files.freeBytes(directory) };
      return { kind: 'plan', method: 'delete', why, moveBytes: 0n, needBytes: 0n, ...free };
    },

    async run({ address, missingOk }, run) {
      const target = run.removal(address);
      if (target?.existing === undefined) return nothing;
      const result: DeleteResult = { kind: 'delete', existed: true, freedBytes: target.existing.allocatedBytes };
      try {
        return await run.commit('DELETING', { address, result }, () => files.remove(target));
      } catch (error) {
        // Another process was faster.
        if (asHostlerError(error).reason !== 'IMAGE_NOT_FOUND') throw error;
        if (missingOk) return nothing;
        throw new HostlerError(own.missing, `${address} does not exist`, { facts: { path: address }, cause: error });
      }
    },
  };
}
