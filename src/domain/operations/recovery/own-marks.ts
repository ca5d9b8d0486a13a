import type { ImageAddress } from '../../model/address.js';
import type { Files } from '../../ports/images.js';
import type { Markable, TouchedImages } from './touched.js';
import { isUnwritten, lookBefore, type Before } from './unwritten.js';
import type { FileIdentity, Resolved } from '../../ports/handles.js';

/** The marks of one operation on images that it changes in place, until it has succeeded. */
export class OwnMarks {
  readonly #touched: (Before & { readonly markedBefore: boolean })[] = [];

  constructor(
    private readonly operation: { readonly operationId: string; readonly method: string },
    private readonly ports: { readonly touched: TouchedImages; readonly files: Files },
  ) {}

  /** An earlier operation began to change the image and did not succeed. */
  isMarked(file: Resolved): boolean {
    return this.ports.touched.find(file, file.address) !== undefined;
  }

  /** True if the image was already marked, by an operation that did not succeed. */
  async touch(file: Resolved): Promise<boolean> {
    const { device, inode, address, birthTimeNs } = file;
    const { touched, files } = this.ports;
    const markedBefore = touched.find(file, address) !== undefined;
    this.#touched.push({ ...(await lookBefore(file, files)), markedBefore });
    const mark = { device, inode, address, ...this.operation };
    await touched.touch({ ...mark, ...(birthTimeNs === undefined ? {} : { birthTimeNs }) });
    return markedBefore;
  }

  /** The change was undone. */
  async untouch(file: Resolved): Promise<void> {
    await this.ports.touched.clear(file, file.address);
  }

  /**
   * Removes marks: changed images are complete, replaced or removed ones need no mark, and a mark
   * on the identity of the created file belongs to a file that is gone. Never rejects: the work is
   * done.
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

  /**
   * After a failure: if a change was refused before anything was written, the image is as complete
   * as before.
   */
  async clearUnwritten(why: string | undefined): Promise<void> {
    const { touched, files } = this.ports;
    for (const before of this.#touched)
      if (!before.markedBefore && (await isUnwritten(before, why, files)))
        await touched.clear(before.file, before.file.address);
  }
}
