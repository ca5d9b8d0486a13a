import { dirname } from '../model/address.js';
import type { ImageInfo } from '../model/image-info.js';
import type { Layer } from '../ports/tools.js';
import { namedBase } from './backing-name.js';
import { MAX_CHAIN_LAYERS, MAX_CHAIN_SNAPSHOTS } from './read-image.js';

/** Older entries are read again. */
const MAX_AGE_MS = 1000;
/** Limit of bases. */
const MOST_BASES = 1000;
/** Limit of snapshots of a base with everything below it: more take memory, and are read again. */
const MOST_SNAPSHOTS = 64;

interface Known {
  readonly chain: readonly ImageInfo[];
  readonly readAt: number;
}

/**
 * Bases that one call has described, with everything below them: several images can share a base.
 */
export class KnownBases {
  readonly #known = new Map<string, Known>();

  /**
   * The base that a layer names with everything below it, nearest first, if it was described
   * recently and the whole chain stays within the limits of layers and snapshots.
   */
  below(last: Layer, layers: number, snapshots: number): readonly ImageInfo[] | undefined {
    if (snapshots + MOST_SNAPSHOTS > MAX_CHAIN_SNAPSHOTS) return undefined;
    const known = this.#known.get(keyOf(last) ?? '');
    if (known === undefined || performance.now() - known.readAt > MAX_AGE_MS) return undefined;
    return layers + known.chain.length <= MAX_CHAIN_LAYERS ? known.chain : undefined;
  }

  /** Stores what was found below each layer. `infos` are of the layers and of all below them. */
  keep(layers: readonly Layer[], infos: readonly ImageInfo[]): void {
    layers.forEach((layer, at) => {
      const [key, chain] = [keyOf(layer), infos.slice(at + 1)];
      const snapshots = chain.reduce((sum, info) => sum + info.snapshots.length, 0);
      if (key === undefined || chain.length === 0 || snapshots > MOST_SNAPSHOTS) return;
      if (this.#known.size >= MOST_BASES) this.#known.clear();
      this.#known.set(key, { chain, readAt: performance.now() });
    });
  }
}

/** The key of a layer's base: its path, and the format. */
function keyOf({ file, facts: { backingFile, backingFormat } }: Layer): string | undefined {
  const named = backingFile === undefined ? undefined : namedBase(backingFile);
  // A name with another format than the header is refused.
  if (named === undefined || named.driver !== undefined || file.storage === 'volume') return undefined;
  const path = named.path.startsWith('/') ? named.path : `${dirname(file.storedName)}/${named.path}`;
  return `${backingFormat ?? ''}\0${path}`;
}
