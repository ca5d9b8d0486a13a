import { Command } from 'commander';
import type { Context } from '../context.js';
import { EXIT } from '../help/exit-codes.js';

/** The readable records of one journal. */
export interface JournalSurvey {
  readonly path: string;
  readonly kind: 'journal' | 'journal of an earlier version';
  /** Intact records, by kind. */
  readonly readable: Readonly<Record<string, number>>;
  /** Operations by state; UNREADABLE: written by another version. */
  readonly states: Readonly<Record<string, number>>;
  /** When the newest operation changed last. */
  readonly newest?: string;
  /** Damaged records. */
  readonly setAside: readonly { readonly kind: string; readonly key: string; readonly why: string }[];
  /** Places of the file that cannot be read; each may have held a record. */
  readonly unreadable: number;
  /** What is wrong with the file. */
  readonly problem?: string;
}

export interface JournalTools {
  status(path: string): Promise<readonly JournalSurvey[]>;
  salvage(from: string, to: string): Promise<JournalSurvey>;
}

/** `hostler journal …`: reads the files, without a daemon. */
export function journalCommands(context: Context, tools: JournalTools): Command[] {
  return [
    new Command('status')
      .description('what the journals of a state folder hold, also those that were moved aside; changes nothing')
      .argument('[path]', 'a state folder, or one journal', '/var/lib/hostler/state')
      .action(async (path: string) => {
        const surveys = await tools.status(path);
        context.printObject({ journals: surveys }, surveys.map(text).join('\n\n'));
        if (surveys.some((each) => !isWhole(each))) process.exitCode = EXIT.other;
      }),
    new Command('salvage')
      .description('copy what can be read of a journal into a new one')
      .argument('<from>', 'a journal that was moved aside')
      .argument('<to>', 'a new file')
      .action(async (from: string, to: string) => {
        const survey = await tools.salvage(from, to);
        context.printObject({ journal: survey, to }, `${text(survey)}\nwhat could be read is in ${to}`);
      }),
  ];
}

function isWhole({ problem, setAside, unreadable }: JournalSurvey): boolean {
  return problem === undefined && setAside.length === 0 && unreadable === 0;
}

function text(survey: JournalSurvey): string {
  const { path, kind, readable, states, newest, setAside, unreadable, problem } = survey;
  const counts = (of: Readonly<Record<string, number>>) =>
    Object.entries(of)
      .map(([name, count]) => `${String(count)} ${name}`)
      .join(', ') || 'none';
  return [
    `${path}: ${kind}, ${isWhole(survey) ? 'whole' : 'damaged'}`,
    `  readable: ${counts(readable)}`,
    `  operations: ${counts(states)}`,
    ...(newest === undefined ? [] : [`  newest: ${newest}`]),
    ...(problem === undefined ? [] : [`  problem: ${problem}`]),
    ...(unreadable === 0 ? [] : [`  places that cannot be read: ${String(unreadable)}`]),
    ...setAside.map((each) => `  set aside: ${each.kind} ${each.key}: ${each.why}`),
  ].join('\n');
}
