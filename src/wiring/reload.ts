/** The effects of a change of the configuration file while the daemon runs. */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../adapters/config/config.js';

/** Sections that a running daemon reads again. Certificates are separate files. */
const READ_AGAIN: readonly string[] = ['callers', 'roles'];

/**
 * Names of the settings that differ between two configurations: those whose new value a running
 * daemon uses, and those that need a restart.
 */
export function changedSettings(before: Config, now: Config): { taken: string[]; needsRestart: string[] } {
  const olds = new Map<string, unknown>(Object.entries(before));
  const changed = Object.entries<unknown>(now).flatMap(([section, value]) => {
    const old = olds.get(section);
    if (!isTable(value) || !isTable(old) || READ_AGAIN.includes(section))
      return isDeepStrictEqual(value, old) ? [] : [section];
    const keys = [...new Set([...Object.keys(value), ...Object.keys(old)])];
    return keys.filter((key) => !isDeepStrictEqual(value[key], old[key])).map((key) => `${section}.${key}`);
  });
  const gone = Object.keys(before).filter((section) => !(section in now));
  const taken = changed.filter((name) => READ_AGAIN.includes(name));
  return { taken, needsRestart: [...changed.filter((name) => !READ_AGAIN.includes(name)), ...gone] };
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
