import type { Caller } from '../access/caller.js';
import { maySee } from '../access/ownership.js';
import { makerIn, type Journal, type Maker } from '../operations/journal.js';
import type { OperationRecord } from '../operations/record.js';
import type { FileIdentity } from '../ports/handles.js';
import type { InventoryImage } from '../ports/inventory.js';

export interface MakerPorts {
  readonly journal: Pick<Journal, 'makersOf'>;
  /** Unfinished operations, by id. */
  readonly live: ReadonlyMap<string, { readonly record: OperationRecord }>;
}

/** The operation that created an image, for callers that may see it. */
export interface MadeBy {
  readonly operationId: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type ImageWithMaker = WithMaker<InventoryImage>;
export type WithMaker<Image> = Image & { readonly madeBy?: MadeBy };

/** The facts by which the maker of an image is found. */
interface Known {
  readonly path: string;
  readonly facts: FileIdentity & { readonly birthTimeNs?: bigint };
}

/**
 * The images with the operations that created them, as far as the history goes back and the caller
 * may see them. Fails with STATE_UNAVAILABLE.
 */
export async function withMakers<Image extends Known>(
  images: readonly Image[],
  caller: Caller,
  { journal, live }: MakerPorts,
): Promise<readonly WithMaker<Image>[]> {
  const known = await journal.makersOf(images.map(({ facts }) => facts));
  // Running operations are not in the journal's list yet, but their files may already have their
  // names.
  const atWork = [...live.values()].flatMap(({ record }) => makerIn(record) ?? []);
  const makers = new Map([...known, ...atWork].map((maker) => [keyOf(maker.made), maker]));
  return images.map((image) => {
    const maker = makers.get(keyOf(image.facts));
    if (maker === undefined || !maySee(maker, caller) || !isOf(maker, image)) return image;
    return { ...image, madeBy: { operationId: maker.id, labels: maker.labels } };
  });
}

/** A later file may have reused the inode number. */
function isOf({ addresses, endTime }: Maker, { path, facts: { birthTimeNs } }: Known): boolean {
  if (birthTimeNs === undefined) return addresses.some((address) => address === path);
  // The end time has a resolution of a millisecond.
  return endTime === undefined || birthTimeNs < BigInt(endTime + 1) * 1_000_000n;
}

function keyOf({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}

/** Whether an image was made by the operation that a filter names. */
export function isMadeBy(
  { madeBy }: { readonly madeBy?: MadeBy },
  { operationId, labels }: { readonly operationId?: string; readonly labels: MadeBy['labels'] },
): boolean {
  return (
    (operationId === undefined || operationId === madeBy?.operationId) &&
    Object.entries(labels).every(([key, value]) => madeBy?.labels[key] === value)
  );
}
