import type { ImageAddress } from '../model/address.js';
import type { DirectoryResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { FileAttributes } from '../ports/handles.js';
import type { Files } from '../ports/images.js';
import type { Trees } from '../ports/trees.js';

export interface CreateDirectorySpec {
  readonly address: ImageAddress;
  readonly parents: boolean;
  readonly attributes: FileAttributes;
}

interface Ports {
  readonly trees: Trees;
  readonly files: Files;
}

const THERE: DirectoryResult = { kind: 'directory', existed: true, madeItems: 0 };

/**
 * Creates a folder and its missing parents, unless it exists. After a crash all of them exist, or
 * none.
 */
export function createDirectory({ trees, files }: Ports): Verb<CreateDirectorySpec, DirectoryResult> {
  return {
    name: 'CreateDirectory',
    slot: () => 'none',
    uses: ({ address, parents }) => [{ role: 'folder', address, parents }],

    async plan({ address }, { newFolder }) {
      const made = newFolder(address);
      const nothing = { kind: 'plan', moveBytes: 0n, needBytes: 0n } as const;
      if (made === undefined) return { ...nothing, method: 'none', why: 'the folder is there already' };
      const { topmost, below } = made;
      const many = `${String(below.length + 1)} folders are missing, from ${topmost.address} on`;
      const why = below.length === 0 ? 'the folder is missing' : many;
      return { ...nothing, method: 'create', why, freeBytes: await files.freeBytes(topmost.directory) };
    },

    async run({ address, attributes }, run) {
      const missing = run.newFolder(address);
      if (missing === undefined) return THERE;
      const { topmost, below } = missing;
      run.phase('CREATING');
      await run.step('prepare');
      const { operationId, signal } = run;
      const folders = run.keep(await trees.build(topmost, { operationId, below, attributes, signal }));
      const result: DirectoryResult = {
        kind: 'directory',
        existed: false,
        topmostPath: topmost.address,
        madeItems: below.length + 1,
      };
      const commit = { address: topmost.address, made: folders.made, result };
      return run.commit('COMMITTING', commit, () => folders.publish());
    },
  };
}
