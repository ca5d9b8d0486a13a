import type { CheckCounts, ImageChanger, Written } from '../../domain/ports/changes.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { Preallocation } from '../../domain/model/image-format.js';
import { rbdImage, type RbdImage } from '../qemu/rbd-pool.js';
import { imageWords, resizeWords } from './rbd-args.js';
import { addressOf, type RbdImages } from './rbd-images.js';
import type { Layer, ToolRun } from '../../domain/ports/tools.js';

/** Changes images of clusters in place. The cluster does the work. */
export class RbdChanger implements ImageChanger {
  constructor(private readonly images: RbdImages) {}

  async resize(
    image: Written,
    request: { readonly sizeBytes: bigint; readonly shrink: boolean; readonly preallocation: Preallocation },
    tool: ToolRun,
  ): Promise<void> {
    const { sizeBytes, shrink, preallocation } = request;
    if (preallocation !== 'off') throw unsupported('a cluster allocates space when it is written');
    // Shrinking removes objects one by one.
    await this.#work(imageIn(image), resizeWords(imageIn(image), sizeBytes, shrink), tool);
  }

  /** The parent of a clone cannot be changed, so the clone can only become standalone. */
  async copyUp(image: Written, base: readonly Layer[], tool: ToolRun): Promise<void> {
    if (base.length > 0) throw unsupported('an image of a cluster keeps its parent, or stands alone');
    await this.#flatten(imageIn(image), tool);
  }

  /** The cluster removes the parent when all of it is copied. */
  assertCopied(): Promise<void> {
    return Promise.resolve();
  }

  async setBase(_image: Written, base: unknown): Promise<void> {
    // Flattening has removed the parent.
    if (base !== undefined) throw unsupported('an image of a cluster keeps its parent, or stands alone');
    return Promise.resolve();
  }

  /**
   * The parent is a snapshot, which cannot be written to: the content of both becomes the clone's
   * own.
   */
  async commit(image: Written, _depth: number, tool: ToolRun): Promise<void> {
    await this.#flatten(imageIn(image), tool);
  }

  check(): Promise<CheckCounts> {
    return Promise.reject(unsupported('an image of a cluster has no tables to check: the cluster scrubs its objects'));
  }

  async createSnapshot(image: Written, name: string): Promise<void> {
    await this.images.createSnapshot({ ...imageIn(image), snapshot: name });
  }

  async deleteSnapshot({ chain }: Written, name: string): Promise<void> {
    const image = { ...rbdImage(chain[0].file), snapshot: name };
    const found = (await this.images.snapshots(rbdImage(chain[0].file))).find((each) => each.name === name);
    await this.images.removeSnapshot(image, found?.protected === true);
  }

  async revertSnapshot({ chain }: Written, id: string, tool: ToolRun): Promise<void> {
    const image = rbdImage(chain[0].file);
    const name = chain[0].facts.snapshots.find((each) => each.id === id)?.name;
    if (name === undefined) throw new HostlerError('BUG', 'a snapshot to revert to is not the image’s');
    await this.#work(image, ['snap', 'rollback', ...imageWords({ ...image, snapshot: name })], tool);
  }

  async #flatten(image: RbdImage, tool: ToolRun): Promise<void> {
    await this.#work(image, ['flatten', ...imageWords(image)], tool);
  }

  #work(image: RbdImage, words: readonly string[], tool: ToolRun): Promise<void> {
    return this.images.rbd.work(image.pool.cluster, addressOf(image), words, tool);
  }
}

function imageIn({ chain, copy }: Written): RbdImage {
  return rbdImage(copy ?? chain[0].file);
}
