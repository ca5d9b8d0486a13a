/** Closes all of them, even if one cannot be closed; fails with the first error. */
export async function closeAll(things: readonly { close(): Promise<void> }[]): Promise<void> {
  const [first, ...others] = things;
  if (first === undefined) return;
  if (others.length === 0) return first.close();
  const failures = (await Promise.allSettled(things.map((thing) => thing.close()))).filter(
    (result) => result.status === 'rejected',
  );
  if (failures[0] !== undefined) throw failures[0].reason;
}
