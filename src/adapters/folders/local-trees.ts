import { rename, rmdir, unlink } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { Entry, FileIdentity, Handle } from '../../domain/ports/handles.js';
import type { NotDurable, ResolvedTarget } from '../../domain/ports/targets.js';
import type {
  DoomedTree,
  HeldFile,
  MovedOver,
  NewFolders,
  TreeFacts,
  TreeLook,
  Trees,
} from '../../domain/ports/trees.js';
import type { FolderSync } from '../files/folder-sync.js';
import { givenOwner } from '../files/given-owner.js';
import type { TargetPorts } from '../files/staged-file.js';
import { SYNC } from '../gates/file-calls.js';
import { asked, atLast, callsOf, toItsEnd } from '../gates/handles.js';
import { systemError } from '../linux/errno.js';
import { fileError } from '../trees/file-error.js';
import { renameNew } from '../linux/rename.js';
import { procPath } from '../linux/proc-path.js';
import { FolderLister } from './listing/folder-lister.js';
import { heldSince, inspectTree, type InspectPorts } from './inspect-tree.js';
import { identityAt, linkText, makeLink, removeLink, saysLink } from './links.js';
import { makeFolders, TOPMOST } from './new-folders.js';
import { StagingFolder } from './staging-folder.js';
import { emptyInThread } from '../trees/tree-thread.js';

export interface TreePorts
  extends Pick<TargetPorts, 'agentId' | 'owners' | 'folderSync'>, Omit<InspectPorts, 'agentId'> {
  /** Real paths of folders that no address can reach. */
  readonly closedFolders: readonly string[];
}

/** Read permission on a folder implies permission to enter it. */
const READ_BITS = 0o444;
const TAKEN = 'taken';

/** `Trees` for folders below the roots. */
export class LocalTrees implements Trees {
  readonly #lister: FolderLister;

  constructor(private readonly ports: TreePorts) {
    this.#lister = new FolderLister(ports.closedFolders);
  }

  async build(target: ResolvedTarget, request: Parameters<Trees['build']>[1]): Promise<NewFolders> {
    const { operationId, below, attributes, signal } = request;
    const { mode } = target.defaults;
    const defaults = mode === undefined ? target.defaults : { ...target.defaults, mode: searchable(mode) };
    const owner = await givenOwner({ ...defaults, ...attributes }, this.ports.owners);
    try {
      const folder = await StagingFolder.make(target, this.ports.agentId, operationId);
      try {
        const made = await makeFolders(folder, below, owner, signal);
        return {
          made,
          publish: () => this.#name(folder, target),
          discard: () => atLast(target.directory, () => folder.remove()),
        };
      } catch (error) {
        await atLast(target.directory, () => folder.remove());
        throw error;
      }
    } catch (error) {
      throw systemError(error, target.address, { ENOENT: 'PARENT_NOT_FOUND', ENAMETOOLONG: 'UNSUPPORTED_BY_BACKEND' });
    }
  }

  #name({ handle }: StagingFolder, { address, directory, name }: ResolvedTarget): Promise<NotDurable | undefined> {
    const [part, target] = [procPath({ handle, name: TOPMOST }), procPath({ handle: directory, name })];
    const sync = callsOf(directory) === SYNC;
    return this.#changing([directory], address, () => renameNew(part, target, sync), {
      ENOENT: 'PARENT_NOT_FOUND',
      EEXIST: 'TARGET_EXISTS',
      ENOTEMPTY: 'TARGET_EXISTS',
      ENOTDIR: 'TARGET_EXISTS',
    });
  }

  inspect(target: ResolvedTarget, look: TreeLook): Promise<TreeFacts> {
    return inspectTree(target, look, this.ports);
  }

  heldSince(
    target: ResolvedTarget,
    { heldInodes }: Pick<TreeFacts, 'heldInodes'>,
    signal: AbortSignal,
  ): Promise<HeldFile | undefined> {
    return heldSince(target, heldInodes, signal, this.ports);
  }

  async removeEmpty(target: ResolvedTarget): Promise<NotDurable | undefined> {
    const { address, directory, name } = target;
    return this.#changing([directory], address, () => rmdir(procPath({ handle: directory, name })), {
      ENOTEMPTY: 'DIRECTORY_NOT_EMPTY',
      EEXIST: 'DIRECTORY_NOT_EMPTY',
      EBUSY: 'OTHER_FILESYSTEM',
    });
  }

  async doom(target: ResolvedTarget, operationId: string): Promise<DoomedTree> {
    const { address, directory, name } = target;
    const folder = await StagingFolder.make(target, this.ports.agentId, operationId).catch((error: unknown) => {
      throw fileError(error, address);
    });
    const { handle } = folder;
    return {
      take: () =>
        this.#changing(
          [directory],
          address,
          () => rename(procPath({ handle: directory, name }), procPath({ handle, name: TAKEN })),
          { EBUSY: 'OTHER_FILESYSTEM', EXDEV: 'OTHER_FILESYSTEM' },
        ),
      empty: (onProgress) => emptyInThread(handle, { path: address, onProgress }),
      discard: () => atLast(directory, () => folder.remove()),
    };
  }

  async move(from: ResolvedTarget, to: ResolvedTarget, over: MovedOver): Promise<NotDurable | undefined> {
    const [old, next] = [from, to].map((each) => procPath({ handle: each.directory, name: each.name }));
    if (old === undefined || next === undefined) throw new HostlerError('BUG', 'a move has two names');
    const sync = callsOf(from.directory) === SYNC && callsOf(to.directory) === SYNC;
    return this.#changing(
      [from.directory, to.directory],
      from.address,
      async () => {
        const isFile = from.existing?.type === 'file';
        if (over === 'file' || (over === 'link' && isFile)) return rename(old, next);
        if (over === 'link') await unlink(next);
        return renameNew(old, next, sync);
      },
      {
        EXDEV: 'OTHER_FILESYSTEM',
        EBUSY: 'OTHER_FILESYSTEM',
        EEXIST: 'TARGET_EXISTS',
        ENOTEMPTY: 'TARGET_EXISTS',
        EISDIR: 'NOT_A_FILE',
        ENOTDIR: 'NOT_A_FILE',
        EINVAL: 'INVALID_FIELD',
      },
    );
  }

  async link(from: ResolvedTarget, to: ResolvedTarget): Promise<void> {
    const text = await asking(from, () => linkText(from));
    await this.#changing([to.directory], to.address, () => makeLink(text, to), { EEXIST: 'TARGET_EXISTS' });
  }

  async isLinked(from: ResolvedTarget, to: ResolvedTarget): Promise<boolean> {
    const text = await asking(from, () => linkText(from));
    return asking(to, () => saysLink(text, to));
  }

  async unlink(from: ResolvedTarget, to: ResolvedTarget): Promise<void> {
    const text = await asking(from, () => linkText(from));
    await this.#changing([to.directory], to.address, () => removeLink(text, to), {});
  }

  async removeName({ address, directory, name }: ResolvedTarget): Promise<void> {
    await this.#changing([directory], address, () => unlink(procPath({ handle: directory, name })), {});
  }

  standsFor(place: ResolvedTarget): Promise<FileIdentity | undefined> {
    return asking(place, () => identityAt(place));
  }

  list(folder: Entry, page: Parameters<Trees['list']>[1], signal: AbortSignal): ReturnType<Trees['list']> {
    return this.#lister.list(folder, page, signal);
  }

  /** Changes names in these folders and makes the changes durable. */
  async #changing(
    folders: readonly Handle[],
    address: string,
    act: () => Promise<void>,
    reasons: NonNullable<Parameters<typeof systemError>[2]>,
  ): Promise<NotDurable | undefined> {
    const [first, ...others] = folders;
    if (first === undefined) throw new HostlerError('BUG', 'a name lies in no folder');
    try {
      return await toItsEnd(first, () => inSynced([first, ...others], address, act, this.ports.folderSync));
    } catch (error) {
      throw fileError(error, address, reasons);
    }
  }
}

async function asking<T>({ address, directory }: ResolvedTarget, ask: () => Promise<T>): Promise<T> {
  try {
    return await asked(directory, ask);
  } catch (error) {
    throw fileError(error, address);
  }
}

/**
 * Opens the folders before the change and syncs them after it. Returns the first one whose sync
 * failed.
 */
async function inSynced(
  [folder, ...others]: readonly Handle[],
  address: string,
  act: () => Promise<void>,
  folderSync: FolderSync,
): Promise<NotDurable | undefined> {
  if (folder === undefined) {
    await act();
    return undefined;
  }
  const open = await folderSync.open(folder);
  try {
    const inner = await inSynced(others, address, act, folderSync);
    return (await folderSync.sync(open, address)) ?? inner;
  } finally {
    await open.close();
  }
}

function searchable(mode: number): number {
  return mode | ((mode & READ_BITS) >> 2);
}
