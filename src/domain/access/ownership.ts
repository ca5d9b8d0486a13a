import type { Caller } from './caller.js';
import { liesIn, type Role } from './role.js';

type Asker = Pick<Caller, 'identity' | 'grant'>;

/** The properties of an operation that decide who may see it. */
interface Owned {
  readonly caller: string;
  readonly labels: Labels;
  /** The labels of each operation that shares this one. */
  readonly waiters?: readonly Labels[];
  readonly addresses: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/**
 * Whether an operation has all of these labels. A shared operation must have them all in the label
 * set of one sharer: sets are not combined.
 */
export function hasLabels({ labels, waiters = [labels] }: Pick<Owned, 'labels' | 'waiters'>, wanted: Labels): boolean {
  return waiters.some((each) => Object.entries(wanted).every(([key, value]) => each[key] === value));
}

/**
 * An operation belongs to its caller: others see it only if their role allows that and covers its
 * labels and addresses.
 */
export function maySee(operation: Owned, { identity, grant }: Asker): boolean {
  return operation.caller === identity || (grant.operations !== 'own' && isInSight(operation, grant));
}

/**
 * Whether the caller may cancel: its own operations always, those of others if its role manages all
 * operations and covers their labels and paths.
 */
export function mayCancel(operation: Owned, { identity, grant }: Asker): boolean {
  return operation.caller === identity || (grant.operations === 'all' && isInSight(operation, grant));
}

function isInSight(operation: Owned, grant: Role): boolean {
  const { addresses } = operation;
  return (
    hasLabels(operation, grant.labels) &&
    // An operation without addresses is visible only to roles that see all places.
    (addresses.length > 0 || grant.read === 'all' || grant.write === 'all') &&
    addresses.every((address) => liesIn(address, grant.read) || liesIn(address, grant.write))
  );
}
