import { HostlerError } from '../model/errors.js';

/** Limit of dependants that are named. */
const NAMED = 10;

/**
 * IMAGE_HAS_DEPENDANTS: this many images need the file at `path`. Those that the caller may not see
 * are counted but not named; `seen` has the others.
 */
export function hasDependants(path: string, count: number, seen: readonly string[]): HostlerError {
  const some = seen.slice(0, NAMED);
  const which = some[0] ?? "outside of the places of the caller's role";
  const images =
    count === 1 ? `an image, ${which}` : `${String(count)} images, ${some[0] === undefined ? '' : 'such as '}${which}`;
  return new HostlerError('IMAGE_HAS_DEPENDANTS', `${path} is needed by ${images}`, {
    facts: { path, count: String(count), ...(some.length === 0 ? {} : { dependants: some.join('\n') }) },
  });
}
