/**
 * Closes each, also when one before it cannot be closed; fails with what the first one failed with.
 */
export async function closeAll(things: readonly { close(): Promise<void> }[]): Promise<void> {
  const failures = (await Promise.allSettled(things.map((thing) => thing.close()))).filter(
    (result) => result.status === 'rejected',
  );
  if (failures[0] !== undefined) throw failures[0].reason;
}
