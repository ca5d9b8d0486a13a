/** What a file that is replaced had beside owner and mode, for the one that gets its name. */
import { errnoOf } from '../errno.js';
import { ACCESS_ACL, CAPABILITY, groupRights } from './acl.js';
import { Xattrs } from './xattrs.js';

export interface Carried {
  /** What the new file has not, in words. */
  readonly lost: readonly string[];
  /** Set where the access list was lost: what the file's group may, which the mode does not say. */
  readonly groupRights?: number;
}

/** They speak of the content that was there, or of where it lay. */
const OF_CONTENT = /^(?:security\.(?:ima|evm)|trusted\.overlay\..*)$/;

/**
 * Gives one file the access list, the label and the other attributes of another. Capabilities are not carried: like set-id bits they were
 * given to what was in the file.
 */
export function carryRights(from: string, to: string): Carried {
  const xattrs = Xattrs.load('itself');
  if (xattrs === undefined) return { lost: [] };
  const lost: string[] = [];
  const names = attempt(() => xattrs.names(from), lost, 'attributes') ?? [];
  let rights: number | undefined;
  for (const name of names) {
    if (OF_CONTENT.test(name)) continue;
    if (name === CAPABILITY) {
      lost.push('its capabilities, which were given to another content');
      continue;
    }
    const value = attempt(() => xattrs.get(from, name), lost, name);
    if (value === undefined) continue;
    const kept = attempt(() => (xattrs.set(to, name, value), true), lost, name);
    if (kept !== true && name === ACCESS_ACL) rights = groupRights(value);
  }
  // The folder's default list is for new files.
  const inherited =
    !names.includes(ACCESS_ACL) && (attempt(() => xattrs.names(to), lost, 'attributes') ?? []).includes(ACCESS_ACL);
  if (inherited) attempt(() => xattrs.remove(to, ACCESS_ACL), lost, ACCESS_ACL);
  return { lost, ...(rights === undefined ? {} : { groupRights: rights }) };
}

function attempt<T>(work: () => T, lost: string[], what: string): T | undefined {
  try {
    return work();
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    lost.push(`${what} (${code})`);
    return undefined;
  }
}
