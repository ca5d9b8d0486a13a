/** Journals on disk, and what happens to them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openJournal as openFile } from '../../../src/adapters/journal/opening.js';
import { JournalStore, type JournalLog, type JournalOptions } from '../../../src/adapters/journal/store.js';
import { WriteCountFile } from '../../../src/adapters/journal/write-count-file.js';
import { ALL, restOf, type Journal, type Span, type TraitFilter } from '../../../src/domain/operations/journal.js';
import { done } from './records.js';

/** What an operator would hear, in order. */
export type Heard = Record<string, unknown> & { readonly what: keyof JournalLog };

export interface TestJournal {
  readonly journal: JournalStore;
  readonly heard: Heard[];
}

export async function openJournal(folder: string, options: Partial<JournalOptions> = {}): Promise<TestJournal> {
  const heard: Heard[] = [];
  const journal = await JournalStore.open({
    folder,
    limits: { operations: 1_000_000, ms: 1e15 },
    clock: Date.now,
    log: {
      moved: (facts) => heard.push({ what: 'moved', ...facts }),
      setAside: (facts) => heard.push({ what: 'setAside', ...facts }),
      imported: (facts) => heard.push({ what: 'imported', ...facts }),
      state: (facts) => heard.push({ what: 'state', ...facts }),
      tidyFailed: (why) => heard.push({ what: 'tidyFailed', why }),
    },
    retryMs: 20,
    ...options,
  });
  return { journal, heard };
}

/** All ids behind one, or of a span, page by page. */
export async function idsOf(
  journal: Journal,
  wanted: TraitFilter = [],
  from: string | Partial<Span> = '',
  limit = 100,
): Promise<string[]> {
  const ids: string[] = [];
  let span: Span = { ...ALL, ...(typeof from === 'string' ? { after: from } : from) };
  for (;;) {
    const { records, reached } = await journal.page(wanted, span, limit);
    ids.push(...records.map(({ id }) => id));
    if (reached === undefined) return ids;
    span = restOf(span, reached);
  }
}

/** A new folder with a journal of so many records, closed, for tests to copy. */
export async function makeJournal(folder: string, records: number): Promise<void> {
  await mkdir(folder);
  const { journal } = await openJournal(folder);
  for (let n = 0; n < records; n++) await journal.put(done(n));
  await journal.close();
}

/**
 * What the thread of the journal finds when it opens the one of a folder: up to 100 ids, and what
 * it has moved aside.
 */
export function openedNow(folder: string) {
  const countFile = new WriteCountFile(join(folder, 'journal.writes'));
  try {
    const { file, moved } = openFile(join(folder, 'journal.sqlite'), countFile, Date.now);
    const ids = file.search({ groups: [], span: ALL, limit: 100 }).rows.map(({ key }) => key);
    file.database.close();
    return { ids, moved };
  } finally {
    countFile.close();
  }
}
