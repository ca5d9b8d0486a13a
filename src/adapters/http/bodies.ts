/** Changes of bodies: skip a start, require a length. */
type Body = AsyncIterable<Uint8Array>;

/** The body without its first bytes. */
export async function* behind(body: Body, bytes: bigint): AsyncGenerator<Uint8Array, void> {
  let left = bytes;
  for await (const piece of body) {
    const size = BigInt(piece.length);
    if (left < size) yield left === 0n ? piece : piece.subarray(Number(left));
    left = left < size ? 0n : left - size;
  }
}

/**
 * A body that must have exactly this many bytes; another number fails with the error that `wrong`
 * returns.
 */
export async function* exactly(
  body: Body,
  bytes: bigint,
  wrong: (came: bigint) => Error,
): AsyncGenerator<Uint8Array, void> {
  let came = 0n;
  for await (const piece of body) {
    came += BigInt(piece.length);
    if (came > bytes) throw wrong(came);
    yield piece;
  }
  if (came < bytes) throw wrong(came);
}

/** An empty body. */
// eslint-disable-next-line @typescript-eslint/require-await -- a body like any other
export async function* nothing(): AsyncGenerator<Uint8Array, void> {
  yield* [];
}
