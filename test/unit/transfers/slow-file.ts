/** What was asked of a file, in the order in which it was asked. */
export interface Asked extends PromiseWithResolvers<undefined> {
  readonly what: 'write' | 'endAt' | 'sync';
  readonly position: bigint;
  readonly data: Buffer;
}

/** A file whose calls end when the test says so. */
export class SlowFile {
  readonly asked: Asked[] = [];

  /** Those that have not ended are ended by `resolve` and `reject`. */
  write(data: Uint8Array, position: bigint): Promise<void> {
    return this.#ask('write', position, Buffer.from(data));
  }

  endAt(position: bigint): Promise<void> {
    return this.#ask('endAt', position);
  }

  sync(): Promise<void> {
    return this.#ask('sync', 0n);
  }

  /** The n-th call; fails when there is none. */
  at(n: number): Asked {
    const found = this.asked[n];
    if (found === undefined) throw new Error(`call ${String(n)} has not come`);
    return found;
  }

  #ask(what: Asked['what'], position: bigint, data = Buffer.alloc(0)): Promise<void> {
    const ended = Promise.withResolvers<undefined>();
    this.asked.push({ ...ended, what, position, data });
    return ended.promise;
  }
}
