import type { Caller } from '../access/caller.js';
import { maySee } from '../access/ownership.js';
import { makerIn, type Journal, type Maker } from '../operations/journal.js';
import type { OperationRecord } from '../operations/record.js';
import type { FileIdentity } from '../ports/handles.js';
import type { InventoryImage } from '../ports/inventory.js';

export interface MakerPorts {
  readonly journal: Pick<Journal, 'makersOf'>;
  /** Operations at work, by id. */
  readonly live: ReadonlyMap<string, { readonly record: OperationRecord }>;
}

/** What made an image, for those who may see that operation. */
export interface MadeBy {
  readonly operationId: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type ImageWithMaker = InventoryImage & { readonly madeBy?: MadeBy };

/**
 * The images with the operations that made them, as far as the history goes and the caller may see
 * them. Fails with STATE_UNAVAILABLE.
 */
export async function withMakers(
  images: readonly InventoryImage[],
  caller: Caller,
  { journal, live }: MakerPorts,
): Promise<readonly ImageWithMaker[]> {
  const known = await journal.makersOf(images.map(({ facts }) => facts));
  // Theirs is written when they end; the files have their names already.
  const atWork = [...live.values()].flatMap(({ record }) => makerIn(record) ?? []);
  const makers = new Map([...known, ...atWork].map((maker) => [keyOf(maker.made), maker]));
  return images.map((image) => {
    const maker = makers.get(keyOf(image.facts));
    if (maker === undefined || !maySee(maker, caller) || !isOf(maker, image)) return image;
    return { ...image, madeBy: { operationId: maker.id, labels: maker.labels } };
  });
}

/** A later file may have got the number of an inode. */
function isOf({ addresses, endTime }: Maker, { path, facts: { birthTimeNs } }: InventoryImage): boolean {
  if (birthTimeNs === undefined) return addresses.some((address) => address === path);
  // The end is known to the millisecond.
  return endTime === undefined || birthTimeNs < BigInt(endTime + 1) * 1_000_000n;
}

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
