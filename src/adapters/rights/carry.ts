/** Carries attributes beyond owner and mode from a replaced file to the file that gets its name. */
import { errnoOf } from '../linux/errno.js';
import { ACCESS_ACL, CAPABILITY, groupRights } from './acl.js';
import { Xattrs } from './xattrs.js';

export interface Carried {
  /** What the new file lacks, as text. */
  readonly lost: readonly string[];
  /**
   * Set if the access list was lost: the permissions of the file's group, which the mode does not
   * show.
   */
  readonly groupRights?: number;
}

/** These attributes describe the old content, or where it was stored. */
const OF_CONTENT = /^(?:security\.(?:ima|evm)|trusted\.overlay\..*)$/;

/** Attributes beyond this number are not carried over: each costs two calls. */
const MOST = 1000;

/** Whether the attributes are few enough for the main thread, as far as that is visible. */
export function hasFew(path: string, few: number): boolean {
  const xattrs = Xattrs.load('itself');
  return xattrs === undefined || (attempt(() => xattrs.names(path), [], 'attributes') ?? []).length <= few;
}

/**
 * Copies the access list, the label and the other attributes of one file to another. Capabilities
 * are not copied: like set-id bits they were given to the old content. If the access list cannot be
 * read, the file's group gets no permissions: the mode may show the mask.
 */
export function carryRights(from: string, to: string): Carried {
  const xattrs = Xattrs.load('itself');
  if (xattrs === undefined)
    return { lost: ['its access list and attributes, which cannot be read on this host'], groupRights: 0 };
  const lost: string[] = [];
  const found = attempt(() => xattrs.names(from), lost, 'attributes');
  const names = found ?? [];
  let rights = found === undefined ? 0 : undefined;
  // Attributes with a meaning for the host come first.
  const ordered = [...names.filter((name) => !isUsers(name)), ...names.filter(isUsers)];
  if (names.length > MOST) lost.push(`${String(names.length - MOST)} more attributes`);
  for (const name of ordered.slice(0, MOST)) {
    if (OF_CONTENT.test(name)) continue;
    if (name === CAPABILITY) {
      lost.push('its capabilities, which were given to another content');
      continue;
    }
    const value = attempt(() => xattrs.get(from, name) ?? 'gone', lost, name);
    if (value === 'gone') continue;
    const kept = value !== undefined && attempt(() => (xattrs.set(to, name, value), true), lost, name) === true;
    if (!kept && name === ACCESS_ACL) rights = value === undefined ? 0 : groupRights(value);
  }
  // The default list of a folder is for new files.
  const inherited =
    !names.includes(ACCESS_ACL) && (attempt(() => xattrs.names(to), lost, 'attributes') ?? []).includes(ACCESS_ACL);
  if (inherited) attempt(() => xattrs.remove(to, ACCESS_ACL), lost, ACCESS_ACL);
  return { lost, ...(rights === undefined ? {} : { groupRights: rights }) };
}

function isUsers(name: string): boolean {
  return name.startsWith('user.');
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
