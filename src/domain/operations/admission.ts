import { hasDependants } from '../images/has-dependants.js';
import type { PathScope } from '../access/path-scope.js';
import type { ImageAddress } from '../model/address.js';
import { HostlerError, asHostlerError, unsupported } from '../model/errors.js';
import { assertLookedAt, type Dependants } from '../ports/changes.js';
import { filesOf } from '../images/extents.js';
import type { ImageLocks } from '../ports/images.js';
import { assertSafe } from '../images/image-policy.js';
import { sameFile, type ImageReader } from '../images/read-image.js';
import { Admitted } from './admitted.js';
import { resolveFolder } from './new-folder.js';
import type { Use } from './verb.js';
import type { Reason } from '../model/reasons/reasons.js';
import type { FileIdentity, FileRef, ImageKind, Resolved } from '../ports/handles.js';
import type { ResolvedTarget } from '../ports/targets.js';
import type { Chain } from '../ports/tools.js';
import type { Paths } from '../ports/paths.js';
import { isPlanted } from '../model/planted-faults.js';

export interface AdmissionPorts {
  readonly paths: Paths;
  readonly reader: ImageReader;
  readonly imageLocks: ImageLocks;
  readonly dependants: Dependants;
  /** What the current caller may see. */
  readonly scope: Pick<PathScope, 'allows' | 'touches'>;
}

/**
 * Resolves the addresses of a verb and refuses work that cannot succeed, before anything is written
 * or queued.
 */
export class Admission {
  constructor(private readonly ports: AdmissionPorts) {}

  /** Opens everything. The caller closes the result. */
  async resolve(uses: readonly Use[]): Promise<Admitted> {
    const admitted = new Admitted();
    try {
      // In parallel: each may be a request to another machine. The first failure, in the order of
      // uses, counts.
      const answers = await Promise.allSettled(uses.map((use) => this.#resolve(use, admitted)));
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
      return admitted;
    } catch (error) {
      await admitted.close();
      throw error;
    }
  }

  /** What a target's name leads to now; undefined: nothing. Fails as `Paths.target`. */
  async standsFor(address: ImageAddress): Promise<ResolvedTarget['existing']> {
    const { directory, existing } = await this.ports.paths.target(address);
    await directory.close();
    return existing;
  }

  /**
   * Checks whether targets exist and images are in use. Must run after the operation's own locks
   * are taken, so that locks of its own tools are not mistaken for those of guests.
   */
  async check(uses: readonly Use[], admitted: Admitted): Promise<void> {
    const sources = uses.flatMap((use) => (use.role === 'source' && !use.allowInUse ? [use] : []));
    admitted.askSourcesFree = () => this.#assertSourcesFree(sources, admitted);
    admitted.askUnheld = () => this.#assertUnheld(uses, admitted);
    admitted.sourcesFree = admitted.askSourcesFree();
    admitted.sourcesFree.catch(() => undefined); // avoids unhandledRejection; awaited later
    for (const use of uses) {
      if (use.role === 'change') await this.#checkChange(use, admitted);
      else if (use.role === 'inplace') await this.#checkInPlace(use, admitted);
      else if (use.role === 'target' || use.role === 'removal') await this.#check(use, admitted);
    }
  }

  /** Checks that no process holds an image that is written, replaced or removed. */
  async #assertUnheld(uses: readonly Use[], admitted: Admitted): Promise<void> {
    for (const use of uses) {
      if (use.role === 'change') await this.#assertEntryUnheld(use, admitted);
      else if (use.role === 'inplace') await this.#assertChainUnheld(use, admitted);
      else if (use.role === 'target' || use.role === 'removal') await this.#assertTargetUnheld(use, admitted);
    }
  }

  async #resolve(use: Use, admitted: Admitted): Promise<void> {
    const { address } = use;
    if (use.role === 'change') {
      const entry = await this.ports.paths.entry(address, use.need).catch(missingIsFine(use, 'FILE_NOT_FOUND'));
      if (entry !== undefined) admitted.addEntry(entry);
    } else if (use.role === 'inplace') {
      await this.#resolveInPlace(use, admitted);
    } else if (use.role === 'named') {
      await this.ports.paths.assertNameable(address);
    } else if (use.role === 'folder') {
      await resolveFolder(use, admitted, this.ports.paths);
    } else if (use.role === 'removal') {
      const { paths } = this.ports;
      const found = use.tree === true ? paths.place(address, 'tree') : paths.target(address);
      const target = await found.catch(missingIsFine(use, 'PARENT_NOT_FOUND'));
      if (target !== undefined) admitted.addTarget(target, use.tree);
    } else if (use.role === 'target') {
      admitted.addTarget(await this.ports.paths.target(address));
    } else if (use.format === undefined) {
      const file = await this.ports.paths.source(address);
      admitted.addFile(file, 'read');
      admitted.files.set(address, file);
    } else {
      const chain = await this.ports.reader.chain(address, use.format, use.reading);
      for (const file of filesOf(chain)) admitted.addFile(file, 'read');
      admitted.files.set(address, chain[0].file);
      admitted.chains.set(address, chain);
      // The reader has already checked an image that goes into quarantine.
      if (use.takesForeign !== true || chain[0].untrusted === undefined) assertSafe(chain);
    }
  }

  async #assertSourcesFree(uses: readonly (Use & { role: 'source' })[], admitted: Admitted): Promise<void> {
    for (const { address } of uses) {
      const chain = admitted.chains.get(address);
      const files = chain === undefined ? [admitted.file(address)] : filesOf(chain);
      await this.#assertNotHeld(files, address, ['writer']);
    }
  }

  async #resolveInPlace(use: InPlace, admitted: Admitted): Promise<void> {
    const { address, format, safeCopy } = use;
    const { reader, paths } = this.ports;
    const chain = await (use.chain === 'whole' ? reader.chain(address, format) : reader.top(address, format));
    admitted.keep(filesOf(chain).map(({ handle }) => handle));
    const written = (use.written?.(chain) ?? chain[0]).file;
    for (const file of filesOf(chain))
      admitted.lock(file, file === written || file === chain[0].file ? 'write' : 'read');
    admitted.files.set(address, chain[0].file);
    admitted.chains.set(address, chain);
    assertSafe(chain);
    assertOneFile(chain, written);
    if (!written.writable)
      throw new HostlerError('ROOT_READ_ONLY', `${written.storedName} lies in a read-only root`, {
        facts: { path: written.storedName },
      });
    if (!safeCopy) return;
    const target = await paths.target(written.address);
    admitted.keep([target.directory]);
    admitted.targets.set(written.address, target);
    if (target.existing === undefined || !sameFile(target.existing, written))
      throw unsupported(`${written.address} is a link: a safe copy would replace it`, { path: written.address });
  }

  async #assertChainUnheld(use: InPlace, admitted: Admitted): Promise<void> {
    const { address } = use;
    const chain = admitted.chain(address);
    const written = use.written?.(chain) ?? chain[0];
    await this.#assertNotHeld([written.file, chain[0].file], address, ['reader', 'writer']);
    await this.#assertNotHeld(filesOf(chain.slice(1)), address, ['writer']);
  }

  async #checkInPlace(use: InPlace, admitted: Admitted): Promise<void> {
    await this.#assertChainUnheld(use, admitted);
    const chain = admitted.chain(use.address);
    const written = use.written?.(chain) ?? chain[0];
    if (!use.refuseDependants(chain)) return;
    // The written layer is the base of the layer above it; only the content of the image itself
    // stays the same.
    const above = chain.indexOf(written) === 1 ? chain[0].file : undefined;
    await this.#assertNoDependants(written.file, written.file.address, above);
  }

  async #assertNoDependants(file: FileRef & FileIdentity, path: ImageAddress, except?: FileIdentity): Promise<void> {
    const answer = await this.ports.dependants.of(file);
    const found = answer.found.filter(({ identity }) => except === undefined || !sameFile(identity, except));
    if (found.length === 0 || isPlanted('base-not-protected')) {
      assertLookedAt(answer, path, (place) => this.ports.scope.touches(place));
      return;
    }
    // Images that this caller may not see count, but are not named.
    const seen = found.filter(({ path: address }) => this.ports.scope.allows({ address, need: 'read' }));
    const names = seen.map(({ path: name }) => name);
    throw hasDependants(path, found.length, names);
  }

  async #checkChange(use: Use & { role: 'change' }, admitted: Admitted): Promise<void> {
    const entry = admitted.entry(use.address);
    if (entry === undefined) return;
    assertKind(use, entry.kind);
    await this.#assertEntryUnheld(use, admitted);
    if (use.changesContent && entry.kind === 'file') await this.#assertNoDependants(entry, use.address);
  }

  async #assertEntryUnheld(use: Use & { role: 'change' }, admitted: Admitted): Promise<void> {
    const entry = admitted.entry(use.address);
    if (entry !== undefined && !use.allowInUse) await this.#assertNotHeld([entry], use.address, ['reader', 'writer']);
  }

  async #check(use: Use & { role: 'target' | 'removal' }, admitted: Admitted): Promise<void> {
    const target = targetOf(use, admitted);
    const existing = target?.existing;
    if (use.role === 'removal' && existing === undefined && !use.missingOk) throw missing(use, use.missing);
    if (target === undefined || existing === undefined) return;
    assertKind(use, existing.type);
    if (use.role === 'target') {
      assertReplaceable(use, existing, admitted);
      if (existing.type === 'link') await this.#assertLeadsElsewhere(use, admitted);
    }
    await this.#assertTargetUnheld(use, admitted);
    const image = { ...existing, handle: target.directory, name: target.name };
    const mayBeABase = existing.type === 'file' || existing.type === 'device';
    if (existing.type === 'volume' || (mayBeABase && !use.allowDependants))
      await this.#assertNoDependants(image, use.address);
  }

  async #assertTargetUnheld(use: Use & { role: 'target' | 'removal' }, admitted: Admitted): Promise<void> {
    const target = targetOf(use, admitted);
    const existing = target?.existing;
    if (target === undefined || existing === undefined) return;
    // A volume that a client has open cannot be removed: the removal itself detects that, and waits
    // for watches of dead clients.
    const mayBeHeld = existing.type === 'volume' ? use.role === 'target' : ['file', 'device'].includes(existing.type);
    if (!mayBeHeld || (use.role === 'removal' && use.allowInUse)) return;
    const image = { ...existing, handle: target.directory, name: target.name };
    await this.#assertNotHeld([image], use.address, ['reader', 'writer']);
  }

  /**
   * Checks that a link to be replaced does not lead to an image that is read: the new image would
   * name itself.
   */
  async #assertLeadsElsewhere(use: Use & { role: 'target' }, admitted: Admitted): Promise<void> {
    const led = await this.ports.paths.source(use.address).catch((error: unknown) => {
      // The link leads to nothing that could be read.
      if (asHostlerError(error).reason === 'BUG') throw error;
      return undefined;
    });
    await led?.handle.close();
    if (led !== undefined) assertReplaceable(use, led, admitted);
  }

  async #assertNotHeld(files: readonly FileRef[], path: ImageAddress, refused: readonly string[]): Promise<void> {
    const { imageLocks } = this.ports;
    const holds = await imageLocks.holds(files);
    const place = holds.findIndex((hold) => refused.includes(hold));
    const [held, file] = [holds[place], files[place]];
    if (held === undefined || file === undefined) return;
    const pid = await imageLocks.holder(file);
    const who = pid === undefined ? 'a process' : `process ${String(pid)}`;
    throw new HostlerError(
      'IMAGE_IN_USE',
      `${path} is open for ${held === 'writer' ? 'writing' : 'reading'} by ${who}`,
      {
        facts: { path, ...(pid === undefined ? {} : { pid: String(pid) }) },
      },
    );
  }
}

type InPlace = Use & { role: 'inplace' };

/**
 * The tools open the image itself for writing, whichever layer is written. Fails with
 * UNSUPPORTED_BY_BACKEND.
 */
function assertOneFile(chain: Chain, written: Resolved): void {
  const several = chain.find(({ file, extents }) => extents !== undefined && [written, chain[0].file].includes(file));
  if (several === undefined) return;
  const { address } = several.file;
  throw unsupported(`${address} is an image of several files, which is read but never changed: convert it first`, {
    path: address,
  });
}

const REPLACEABLE: readonly ImageKind[] = ['file', 'link', 'volume', 'device'];

function assertKind(use: Exclude<Use, { role: 'source' | 'inplace' | 'named' | 'folder' }>, kind: ImageKind): void {
  const kinds: readonly ImageKind[] = use.role === 'target' ? REPLACEABLE : use.kinds;
  if (!kinds.includes(kind))
    throw new HostlerError(
      kinds.includes('file') ? 'NOT_A_FILE' : 'NOT_A_DIRECTORY',
      `${use.address} is a ${KIND_WORDS[kind]}`,
      { facts: { path: use.address } },
    );
}

function targetOf(use: Use & { role: 'target' | 'removal' }, admitted: Admitted): ResolvedTarget | undefined {
  return use.role === 'target' ? admitted.target(use.address) : admitted.removal(use.address);
}

const KIND_WORDS: Readonly<Record<ImageKind, string>> = {
  volume: 'volume',
  device: 'block device',
  file: 'file',
  folder: 'folder',
  link: 'link',
  block: 'block device',
  other: 'FIFO, socket or character device',
};

function missing({ address }: Use, reason: Reason): HostlerError {
  return new HostlerError(reason, `${address} does not exist`, { facts: { path: address } });
}

/**
 * For a use that may be missing: "not found" is not an error; a removal reports it with its own
 * reason.
 */
function missingIsFine(use: Use & { role: 'change' | 'removal' }, reason: Reason): (error: unknown) => undefined {
  return (error) => {
    if (asHostlerError(error).reason !== reason) throw error;
    if (!use.missingOk) throw use.role === 'removal' ? missing(use, use.missing) : error;
  };
}

function assertReplaceable(
  use: Use & { role: 'target' },
  existing: FileIdentity & { readonly type?: ImageKind },
  admitted: Admitted,
): void {
  const read = [...admitted.files.values(), ...[...admitted.chains.values()].flatMap(filesOf)];
  const same = read.find((file) => sameFile(file, existing));
  if (same !== undefined) {
    throw new HostlerError('SAME_FILE', `${use.address} and ${same.address} are the same file`, {
      facts: { source: same.address, target: use.address },
    });
  }
  // A device always exists and is always overwritten.
  if (!use.overwrite && existing.type !== 'device')
    throw new HostlerError('TARGET_EXISTS', `${use.address} exists`, { facts: { path: use.address } });
}
