import type { ImageAddress } from '../model/address.js';
import type { TouchResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { Contents } from '../ports/files.js';

export interface TouchSpec {
  readonly address: ImageAddress;
}

/** Sets the modification time of an existing entry to now; creates nothing. */
export function touchFile({ contents }: { readonly contents: Contents }): Verb<TouchSpec, TouchResult> {
  return {
    name: 'TouchFile',
    slot: () => 'none',
    uses: ({ address }) => [
      {
        role: 'change',
        address,
        need: { follow: true, access: 'change' },
        kinds: ['file', 'folder', 'block', 'other'],
        missingOk: true,
        allowInUse: true,
        changesContent: false,
      },
    ],

    async run({ address }, run) {
      const entry = run.entry(address);
      if (entry === undefined) return { kind: 'touch', existed: false };
      run.phase('MODIFYING');
      await run.step('touch');
      await contents.touch(entry);
      return { kind: 'touch', existed: true };
    },
  };
}
