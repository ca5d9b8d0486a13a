import { constants } from 'node:os';

/** The first name of each: SIGIOT is another one of SIGABRT. */
const NAMES = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]): [number, string] => [number, name]),
);

/** The name of a signal; undefined for one that has none, such as those of real time. */
export function nameOfSignal(number: number): string | undefined {
  return NAMES.get(number);
}
