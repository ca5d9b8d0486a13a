import { constants } from 'node:os';

/** The first name of each number: SIGIOT is another name of SIGABRT. */
const NAMES = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]): [number, string] => [number, name]),
);

/** The name of a signal; undefined if it has none, such as a real-time signal. */
export function nameOfSignal(number: number): string | undefined {
  return NAMES.get(number);
}
