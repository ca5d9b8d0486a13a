import type { ImageAddress } from '../../model/address.js';
import type { Files } from '../../ports/images.js';
import type { Markable, TouchedImages } from './touched.js';
import { isUnwritten, lookBefore, type Before } from './unwritten.js';
import type { FileIdentity, Resolved } from '../../ports/handles.js';

/** Of what one operation changes in place: the marks that say so until it has succeeded. */
export class OwnMarks {
  readonly #touched: (Before & { readonly markedBefore: boolean })[] = [];

  constructor(
    private readonly operation: { readonly operationId: string; readonly method: string },
    private readonly ports: { readonly touched: TouchedImages; readonly files: Files },
  ) {}

  /** An operation before this one began to change it and did not succeed. */
  isMarked(file: Resolved): boolean {
    return this.ports.touched.find(file, file.address) !== undefined;
  }

  /** True when it was marked already, by an operation that did not succeed. */
  async touch(file: Resolved): Promise<boolean> {
    const { device, inode, address, birthTimeNs } = file;
    const { touched, files } = this.ports;
    const markedBefore = touched.find(file, address) !== undefined;
    this.#touched.push({ ...(await lookBefore(file, files)), markedBefore });
    const mark = { device, inode, address, ...this.operation };
    await touched.touch({ ...mark, ...(birthTimeNs === undefined ? {} : { birthTimeNs }) });
    return markedBefore;
  }

  /** A change was undone. */
  async untouch(file: Resolved): Promise<void> {
    await this.ports.touched.clear(file, file.address);
  }

  /**
   * What was touched is whole again, what was replaced or removed needs no mark any more, and a
   * mark on what had the number of the file that was made speaks of one that is gone. Never
   * rejects: the work is done.
   */
  async clear(
    replaced: readonly (Markable & { readonly address: ImageAddress })[],
    made: FileIdentity | undefined,
    onFailed: (error: unknown) => void,
  ): Promise<void> {
    const { touched } = this.ports;
    for (const file of [...this.#touched.map(({ file: each }) => each), ...replaced])
      await touched.clear(file, file.address).catch(onFailed);
    if (made !== undefined) await touched.forget(made).catch(onFailed);
  }

  /** After a failure: what was refused before anything was written is as whole as it was. */
  async clearUnwritten(why: string | undefined): Promise<void> {
    const { touched, files } = this.ports;
    for (const before of this.#touched)
      if (!before.markedBefore && (await isUnwritten(before, why, files)))
        await touched.clear(before.file, before.file.address);
  }
}
