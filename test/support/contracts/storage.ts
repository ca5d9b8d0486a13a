/** One kind of storage as the domain sees it, for the suite that all kinds must pass. */
import { PathScope } from '../../../src/domain/access/path-scope.js';
import type { ImageAddress } from '../../../src/domain/model/address.js';
import type { Reason } from '../../../src/domain/model/reasons/reasons.js';
import type { FileAttributes, StorageKind } from '../../../src/domain/ports/handles.js';
import type { Files, ImageLocks } from '../../../src/domain/ports/images.js';
import type { Paths } from '../../../src/domain/ports/paths.js';
import type { Targets } from '../../../src/domain/ports/targets.js';
import type { ImageTool, Reflink } from '../../../src/domain/ports/tools.js';
import { QemuImg } from '../../../src/adapters/qemu/qemu-img.js';
import { plainRunner } from '../engine.js';

/** As the id of an agent is. */
export const AGENT = 'c0117ac70000';
export const SCOPE = new PathScope();

/** The ports, and what a test needs to know of the storage behind them. */
export interface Storage {
  readonly kind: StorageKind;
  readonly paths: Paths;
  readonly files: Files;
  readonly locks: ImageLocks;
  readonly targets: Targets;
  readonly tool: Pick<ImageTool, 'convert'>;
  readonly reflink: Reflink;
  /** Where an image can be made; nothing has this name, except that a device is there already. */
  fresh(): Promise<ImageAddress>;
  /** What lies at an address, read by another program. */
  content(address: ImageAddress): Promise<Buffer>;
  /** How qemu names what lies there. */
  qemuName(address: ImageAddress): string;
  /** What an operation has left: names that no caller made, files aside. */
  leftovers(): Promise<readonly string[]>;
  /** Length of what is made: a device has the one that it has. */
  readonly bytes: number;
  /** In a root or pool, and nothing has this name. */
  readonly missing: ImageAddress;
  /** In no root or pool, and how it is refused. */
  readonly outside: { readonly address: ImageAddress; readonly reason: Reason };
  /** In one that may only be read. */
  readonly readOnly: ImageAddress;
  /** It is written where it is: nothing gets a name or loses it. */
  readonly isInPlace: boolean;
  /** The bytes can be read one by one. */
  readonly isReadable: boolean;
  /** Owner and mode that an image can get there; undefined: none. */
  readonly attributes?: FileAttributes;
  /** Two images there can be copied without reading. */
  readonly canClone: boolean;
}

/** Children of the tools, without a sandbox. */
export function contractTools() {
  const runner = plainRunner();
  return { runner, qemu: new QemuImg(runner, {}, {}) };
}
