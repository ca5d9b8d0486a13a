import { parseRbdName } from '../../domain/model/address.js';
import type { Eraser } from '../../domain/ports/changes.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { QemuImg } from '../qemu/qemu-img.js';
import { isRbdHandle, rbdImage, type RbdImage } from '../qemu/rbd-pool.js';
import { layoutOf } from '../../domain/model/image-layout.js';
import { createWords, imageWords, resizeWords, targetWords } from './rbd-args.js';
import { addressOf, type RbdImages } from './rbd-images.js';
import type { FileRef, Resolved } from '../../domain/ports/handles.js';
import type { Chain, ConvertRequest, CreateRequest, Reflink, ToolRun } from '../../domain/ports/tools.js';

type Backing = NonNullable<CreateRequest['backing']>;

/** Creates images of clusters: empty ones, clones, and those that qemu-img writes. */
export class RbdTool {
  constructor(
    private readonly images: RbdImages,
    private readonly qemu: QemuImg,
  ) {}

  async create(target: FileRef, request: CreateRequest, tool: ToolRun): Promise<void> {
    assertRaw(request);
    if (Object.keys(layoutOf(request)).length > 0)
      throw unsupported('the size of its objects is the cluster’s choice, and it has no other layout');
    const image = rbdImage(target);
    if (request.backing !== undefined) await this.#clone(image, request.sizeBytes, request.backing, tool);
    else await this.#create(image, request.sizeBytes, tool);
  }

  /** The source may be a file or another image; only its data is written. */
  async convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void> {
    assertRaw(request);
    await this.#create(rbdImage(target), source[0].facts.virtualSizeBytes, tool);
    await this.qemu.convertOnto(source, target, { ...request, targetIsZero: true }, tool);
  }

  async #create(image: RbdImage, sizeBytes: bigint, tool: ToolRun): Promise<void> {
    await this.images.rbd.ask(image.pool.cluster, addressOf(image), createWords(image, sizeBytes, false), tool);
  }

  /** Clones the named snapshot, or creates one with that name for this clone alone. */
  async #clone(image: RbdImage, sizeBytes: bigint, base: Backing, tool: ToolRun): Promise<void> {
    const snapshot = this.#snapshotOf(base.storedName, image);
    if (snapshot.snapshot !== image.image) await this.images.clone(snapshot, image);
    else await this.#cloneNow(snapshot, image);
    if (sizeBytes !== base.lengthBytes)
      await this.images.rbd.ask(image.pool.cluster, addressOf(image), resizeWords(image, sizeBytes, false), tool);
  }

  async #cloneNow(snapshot: RbdImage, image: RbdImage): Promise<void> {
    try {
      await this.images.cloneNow(snapshot, image);
    } catch (error) {
      await this.images.removeIdleSnapshot(snapshot);
      throw error;
    }
  }

  #snapshotOf(base: string, { pool, image }: RbdImage): RbdImage {
    const name = parseRbdName(base);
    if ('problem' in name) throw new HostlerError('BUG', `the base of a clone is ${name.problem}`);
    // The base is in a pool of the same cluster, so only the pool's name differs.
    return {
      pool: { ...pool, name: name.pool },
      namespace: name.namespace,
      image: name.image,
      snapshot: name.snapshot ?? image,
    };
  }
}

/** Wipes images of clusters through qemu-img, which reports progress. */
export class RbdEraser implements Eraser {
  constructor(private readonly qemu: QemuImg) {}

  async zero(file: Resolved, _data: unknown, tool: ToolRun): Promise<void> {
    await this.qemu.wipe(file, file.lengthBytes, 'zero', tool);
  }

  async discard(file: Resolved, tool: ToolRun): Promise<void> {
    await this.qemu.wipe(file, file.lengthBytes, 'discard', tool);
  }
}

/** Copies inside a cluster, without transferring the bytes to this host. */
export class RbdCopier implements Reflink {
  constructor(private readonly images: RbdImages) {}

  describe() {
    return { shown: 'RBD_DEEP_COPY', why: 'source and target are in one Ceph cluster, which copies by itself' };
  }

  objection(source: Resolved, directory: Resolved['handle']): Promise<string | undefined> {
    if (!isRbdHandle(source.handle) || !isRbdHandle(directory))
      return Promise.resolve('only one of source and target is in a Ceph cluster');
    if (source.handle.pool.cluster.name !== directory.pool.cluster.name)
      return Promise.resolve('source and target are in different Ceph clusters');
    return Promise.resolve(undefined);
  }

  async clone(source: FileRef, target: FileRef, tool: ToolRun): Promise<true> {
    const [from, to] = [rbdImage(source), rbdImage(target)];
    const words = ['deep', 'cp', ...imageWords(from), ...targetWords(to)];
    await this.images.rbd.work(from.pool.cluster, addressOf(from), words, tool);
    return true;
  }
}

function assertRaw({ format, preallocation }: Pick<CreateRequest, 'format' | 'preallocation'>): void {
  if (format !== 'raw') throw unsupported(`an image of a cluster holds raw bytes, not ${format}`);
  if (preallocation !== 'off') throw unsupported('a cluster allocates space when it is written');
}
