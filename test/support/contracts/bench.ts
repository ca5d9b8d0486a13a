/** What the tests of one kind of storage work with. */
import { writeFile } from 'node:fs/promises';
import { rawFacts } from '../../../src/domain/images/raw-facts.js';
import type { ImageAddress } from '../../../src/domain/model/address.js';
import { asHostlerError } from '../../../src/domain/model/errors.js';
import type { FileAttributes, FileRef, Resolved } from '../../../src/domain/ports/handles.js';
import type { StagedImage } from '../../../src/domain/ports/targets.js';
import { plainRun } from '../../../src/domain/ports/tools.js';
import { noise } from '../images/disks.js';
import { whileHeld } from '../processes.js';
import type { Scratch } from '../scratch.js';
import type { Storage } from './storage.js';

const RAW = { format: 'raw', compress: false, preallocation: 'off', direct: false, shared: false } as const;

/** The reason by which work fails; `none` when it does not. */
export async function reasonOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'none',
    (error: unknown) => asHostlerError(error).reason,
  );
}

/** Ids of operations have no dash. */
let operations = 0;
export const nextOperation = () => `OP${String(++operations)}`;

/** What the tests of one kind share: a source of bytes, and images made of it. */
export class Bench {
  #bytes = 0;

  constructor(
    readonly storage: Storage,
    private readonly scratch: Scratch,
    /** Where the bytes come from that tools write. */
    private readonly sources: Storage,
  ) {}

  /** Bytes that nothing else here has, in a file. */
  async #source(): Promise<{ readonly file: Resolved; readonly bytes: Buffer }> {
    const bytes = noise(this.storage.bytes, 1000 + ++this.#bytes);
    const address = await this.sources.fresh();
    await writeFile(address, bytes);
    return { file: await this.sources.paths.source(address), bytes };
  }

  /** A tool writes bytes where an image is being made; the bytes. */
  async fill(target: FileRef): Promise<Buffer> {
    const { file, bytes } = await this.#source();
    try {
      const chain = [{ file, format: 'raw', facts: rawFacts(file) }] as const;
      await this.storage.tool.convert(chain, target, RAW, plainRun());
    } finally {
      await file.handle.close();
    }
    return bytes;
  }

  /** Prepares a part at an address, works with it, discards it. */
  async staged<T>(
    address: ImageAddress,
    work: (part: StagedImage) => Promise<T>,
    request: { readonly overwrite?: boolean; readonly attributes?: FileAttributes; readonly id?: string } = {},
  ): Promise<T> {
    const { id = nextOperation(), overwrite = this.storage.isInPlace, attributes = {} } = request;
    const target = await this.storage.paths.target(address);
    try {
      const part = await this.storage.targets.prepare(target, { operationId: id, overwrite, attributes });
      try {
        return await work(part);
      } finally {
        await part.discard();
      }
    } finally {
      await target.directory.close();
    }
  }

  /** An image with bytes, published at a fresh address. */
  async image(): Promise<{ readonly address: ImageAddress; readonly bytes: Buffer }> {
    const address = await this.storage.fresh();
    const bytes = await this.staged(address, async (part) => {
      const written = await this.fill(part);
      await part.seal();
      await part.publish();
      return written;
    });
    return { address, bytes };
  }

  /** Resolves an address, works with it, closes it. */
  async resolved<T>(address: ImageAddress, work: (file: Resolved) => Promise<T>): Promise<T> {
    const file = await this.storage.paths.source(address);
    try {
      return await work(file);
    } finally {
      await file.handle.close();
    }
  }

  /** A qemu has it open, as a guest's would, while `work` runs. */
  whileOpen(address: ImageAddress, work: () => Promise<void>): Promise<void> {
    return whileHeld(this.storage.qemuName(address), this.scratch.path('held.sock'), work, ['-f', 'raw']);
  }
}

/** What does not change from one look to the next. */
export function of({ storage, address, device, inode, lengthBytes, writable, trusted }: Resolved) {
  return Promise.resolve({ storage, address, device, inode, lengthBytes, writable, trusted });
}
