/**
 * The used clusters of a new qcow2, and the location of its reference counts. Allocation is as in
 * qemu: a table takes the first gap that is large enough; a refcount block is created when the
 * first of its clusters is allocated.
 */
export const TABLE_ENTRY_BYTES = 8;

/** A range of the file; clusters are counted from its start. */
export interface Clusters {
  readonly first: number;
  readonly count: number;
}

/** The layout of the refcounts of a new image. */
export class ClusterMap {
  readonly #perBlock: number;
  readonly #perTableCluster: number;
  /** One byte for each cluster; 1: in use. */
  #used = Buffer.alloc(1024);
  /** The search for free clusters starts here. */
  #next = 0;
  /** The cluster of each refcount block; 0 if there is none. */
  #blocks = [2];
  #table: Clusters = { first: 1, count: 1 };
  readonly #abandoned: { readonly at: Clusters; readonly blocks: readonly number[] }[] = [];

  /** The initial content of each image: a header, a refcount table of one cluster, and a block. */
  constructor(clusterBytes: number, refcountBits: number) {
    this.#perBlock = (clusterBytes * 8) / refcountBits;
    this.#perTableCluster = clusterBytes / TABLE_ENTRY_BYTES;
    this.#mark({ first: 0, count: 3 }, 1);
    this.#next = 3;
  }

  get table(): Clusters {
    return this.#table;
  }

  /**
   * The clusters of the refcount blocks, in the order of the clusters they count; 0 if there is
   * none.
   */
  get blocks(): readonly number[] {
    return this.#blocks;
  }

  /** Tables that became too small, with their entries: they are not cleared. */
  get abandoned(): readonly { readonly at: Clusters; readonly blocks: readonly number[] }[] {
    return this.#abandoned;
  }

  /** For each cluster that a block counts, 1 if it is in use; up to the last used one. */
  countedBy(block: number): Buffer {
    const counted = this.#used.subarray(block * this.#perBlock, (block + 1) * this.#perBlock);
    return counted.subarray(0, counted.lastIndexOf(1) + 1);
  }

  /** Allocates this many consecutive clusters; returns the first. */
  take(count: number): number {
    for (;;) {
      const first = this.#room(count);
      if (this.#count({ first, count })) return first;
    }
  }

  /** The first of this many consecutive free clusters. */
  #room(count: number): number {
    let first = this.#next;
    for (let used = this.#used.indexOf(1, first); used !== -1 && used < first + count;) {
      first = used + 1;
      used = this.#used.indexOf(1, first);
    }
    this.#next = first + count;
    return first;
  }

  /**
   * Marks the clusters as used. False if a block had to be created first, which may have used some
   * of them: then none is marked, and the search starts again.
   */
  #count(clusters: Clusters): boolean {
    const { first, count } = clusters;
    for (let block = Math.floor(first / this.#perBlock); block * this.#perBlock < first + count; block++) {
      if ((this.#blocks[block] ?? 0) !== 0) continue;
      this.#addBlock(block, Math.max(first, block * this.#perBlock));
      this.#next = Math.min(this.#next, first);
      return false;
    }
    this.#mark(clusters, 1);
    return true;
  }

  /** Creates a block, or, if that needs another block first, the other one. */
  #addBlock(index: number, cluster: number): void {
    const made = this.#room(1);
    const countsItself = Math.floor(made / this.#perBlock) === index;
    if (countsItself) this.#mark({ first: made, count: 1 }, 1);
    else if (!this.#count({ first: made, count: 1 })) return;
    if (index >= this.#table.count * this.#perTableCluster) {
      this.#growTable(index, made, cluster);
      return;
    }
    while (this.#blocks.length < index) this.#blocks.push(0);
    this.#blocks[index] = made;
  }

  /**
   * Creates a larger table at the start of the range that a missing block counts, together with
   * that block.
   */
  #growTable(index: number, made: number, cluster: number): void {
    const start = Math.ceil(Math.max(cluster + 1, made) / this.#perBlock) * this.#perBlock;
    const total = this.#blocksFor(start);
    const entries = total + Math.ceil(total / 2);
    const count = Math.ceil(entries / this.#perTableCluster);
    const old = { at: this.#table, blocks: this.#blocks };
    const blocks = Array.from({ length: total }, (_, at) => (at === index ? made : (old.blocks[at] ?? 0)));
    let first = start;
    for (let at = start / this.#perBlock; at < total; at++) if (blocks[at] === 0) blocks[at] = first++;
    this.#mark({ first: start, count: first + count - start }, 1);
    this.#table = { first, count };
    this.#blocks = blocks;
    this.#abandoned.push(old);
    this.#mark(old.at, 0);
    this.#next = Math.min(this.#next, old.at.first);
  }

  /**
   * Blocks for this many clusters, for the blocks themselves, for the table, and for half a table
   * more.
   */
  #blocksFor(clusters: number): number {
    const settle = (content: number) => {
      let [blocks, table] = [0, 0];
      for (let before = -1; before !== blocks + table;) {
        before = blocks + table;
        blocks = Math.ceil((content + table + blocks) / this.#perBlock);
        table = Math.ceil(blocks / this.#perTableCluster);
      }
      return { blocks, table };
    };
    return settle(clusters + Math.ceil(settle(clusters).table / 2)).blocks;
  }

  #mark({ first, count }: Clusters, value: 0 | 1): void {
    if (first + count > this.#used.length) {
      const larger = Buffer.alloc(2 * (first + count));
      larger.set(this.#used);
      this.#used = larger;
    }
    this.#used.fill(value, first, first + count);
  }
}
