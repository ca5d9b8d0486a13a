/** The meaning of the command's exit codes. */
import type { CheckResult, CompareResult } from '../../gen/hostler/v1/image.js';
import type { OperationResult } from '../../gen/hostler/v1/operation.js';

export const EXIT = {
  ok: 0,
  other: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  busy: 5,
  space: 6,
  unavailable: 7,
  cancelled: 130,
};

/** A code and its meaning. */
export type ExitCode = readonly [code: number, meaning: string];

/** For every command that is not in `ANSWERS`. */
export const EXIT_CODES: readonly ExitCode[] = [
  [EXIT.ok, 'done'],
  [EXIT.other, 'failed in another way, also because of a local file'],
  [EXIT.usage, 'the command line or the request is wrong'],
  [EXIT.notFound, 'there is no such image, file or operation'],
  [EXIT.refused, 'refused; the request may not be done as it is'],
  [EXIT.busy, 'busy; try again later'],
  [EXIT.space, 'not enough space'],
  [EXIT.unavailable, 'no daemon answers'],
  [EXIT.cancelled, 'cancelled'],
];

/** The codes of a command that answers a question by its exit code. */
interface Answers {
  readonly codes: readonly ExitCode[];
  /** The RPC whose operation the command follows. */
  readonly method?: string;
  /** For a failure, unless no daemon answers or the operation was cancelled. */
  readonly failure: number;
}

/** `image check` and `image compare` have the codes of `qemu-img`. */
export const ANSWERS: ReadonlyMap<string, Answers> = new Map([
  [
    'image check',
    {
      method: 'CheckImage',
      codes: [
        [0, 'the tables are clean'],
        [2, 'corruptions'],
        [3, 'leaked clusters, but no corruptions'],
      ],
      failure: 1,
    },
  ],
  [
    'image compare',
    {
      method: 'CompareImages',
      codes: [
        [0, 'the content is the same'],
        [1, 'the content differs'],
      ],
      failure: 2,
    },
  ],
  [
    'file stat',
    {
      codes: [
        [0, 'it exists'],
        [1, 'it does not exist'],
      ],
      failure: 2,
    },
  ],
  [
    'host mounted',
    {
      codes: [
        [0, 'it is a mount point'],
        [1, 'it is not'],
      ],
      failure: 2,
    },
  ],
]);

/** Where a common code means more in one command. */
const MORE_EXACT: ReadonlyMap<string, readonly ExitCode[]> = new Map([
  [
    'doctor',
    [
      [EXIT.ok, 'there is no problem'],
      [EXIT.other, 'there is a problem, or the host could not be examined'],
    ],
  ],
  [
    'auth check',
    [
      [EXIT.ok, 'the caller may'],
      [EXIT.refused, 'the caller may not'],
    ],
  ],
  ['journal status', [[EXIT.other, 'a journal is damaged, or cannot be read']]],
]);

/** A sentence below the codes of a command that has those of something else too. */
export const CODE_NOTES: ReadonlyMap<string, string> = new Map([
  ['exec', 'Else it is the code of the command that ran, if the configuration accepts that.'],
  ['ops watch', "With an id: as the operation's own command, such as `hostler image check`."],
]);

/** All codes of one command, such as `image check`. */
export function exitCodesOf(command: string): readonly ExitCode[] {
  const answers = ANSWERS.get(command);
  if (answers === undefined) {
    const exact = new Map(MORE_EXACT.get(command));
    return EXIT_CODES.map(([code, meaning]) => [code, exact.get(code) ?? meaning]);
  }
  return [
    ...answers.codes,
    [answers.failure, 'no answer: anything else went wrong'],
    ...EXIT_CODES.filter(([code]) => isOfEvery(code)),
  ];
}

/** The code of a failed command, from the code that other commands use for this failure. */
export function failureCode(command: string | undefined, code: number): number {
  const answers = ANSWERS.get(command ?? '');
  return answers === undefined || isOfEvery(code) ? code : answers.failure;
}

/** The same by the RPC of an operation, for a command that follows one of any RPC. */
export function failureCodeOf(method: string | undefined, code: number): number {
  return failureCode([...ANSWERS].find(([, answers]) => answers.method === method && method !== undefined)?.[0], code);
}

/** The code of a command whose operation succeeded. */
export function resultCode({ result }: OperationResult): number {
  if (result?.$case === 'check') return checkCode(result.value);
  if (result?.$case === 'compare') return compareCode(result.value);
  return result?.$case === 'execute' ? result.value.exitCode : EXIT.ok;
}

function checkCode({ checkErrors, corruptions, leaks }: CheckResult): number {
  if (checkErrors > 0n) return 1;
  if (corruptions > 0n) return 2;
  return leaks > 0n ? 3 : EXIT.ok;
}

function compareCode({ equal }: CompareResult): number {
  return equal ? EXIT.ok : 1;
}

function isOfEvery(code: number): boolean {
  return code === EXIT.unavailable || code === EXIT.cancelled;
}
