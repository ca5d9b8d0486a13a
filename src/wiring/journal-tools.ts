/**
 * Part of the command's composition root: shows the content of a journal, read from its file while
 * no daemon uses it.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JournalFile } from '../adapters/journal/journal-file.js';
import { readLevel } from '../adapters/journal/level-import.js';
import { parseRow, readOperation } from '../adapters/journal/records.js';
import type { SetAside, Write } from '../adapters/journal/rows.js';
import { readAll } from '../adapters/journal/salvage.js';
import { connect } from '../adapters/journal/opening.js';
import { BESIDE, JOURNAL_FILE, assertOurs, create } from '../adapters/journal/schema.js';
import { troubleOf, type TroubleKind } from '../adapters/journal/trouble.js';
import { WriteCountFile } from '../adapters/journal/write-count-file.js';
import type { JournalSurvey } from '../cli/commands/journal-command.js';
import { endPlace } from '../domain/operations/ends.js';
import { isThere } from '../file-io/look.js';

/** An error that an operator can fix. */
export class JournalToolError extends Error {
  override readonly name = 'JournalToolError';
}

/**
 * An error of the system or of SQLite is not about the journal's content: it becomes a
 * JournalToolError.
 */
async function inWords<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const trouble = troubleOf(error);
    if (error instanceof JournalToolError || trouble.kind === 'bug') throw error;
    throw new JournalToolError(`${path} cannot be worked with: ${trouble.why}`);
  }
}

/**
 * The journal of a state folder and those that were moved aside there, or one file. Fails with
 * JournalToolError.
 */
export function journalStatus(path: string): Promise<readonly JournalSurvey[]> {
  return inWords(path, () => status(path));
}

async function status(path: string): Promise<readonly JournalSurvey[]> {
  if (!isThere(path)) throw new JournalToolError(`there is no ${path}`);
  const files = isStateFolder(path) ? journalsOf(path) : [path];
  if (files.length === 0) throw new JournalToolError(`${path} holds no journal`);
  const surveys: JournalSurvey[] = [];
  for (const file of files) surveys.push(await survey(file, () => undefined));
  return surveys;
}

/** Copies the readable records of one journal into a new file. Fails with JournalToolError. */
export async function journalSalvage(from: string, to: string): Promise<JournalSurvey> {
  await inWords(from, () => {
    if (!isThere(from)) throw new JournalToolError(`there is no ${from}`);
    if (isStateFolder(from)) throw new JournalToolError(`${from} is a folder: name one of the journals in it`);
  });
  const database = await inWords(to, () => {
    if (isThere(to)) throw new JournalToolError(`${to} exists: what can be read goes into a new file`);
    // SQLite does not report why a file cannot be created.
    closeSync(openSync(to, 'wx', 0o600));
    return connect(to);
  });
  return inWords(from, () => salvageInto(database, from, to));
}

async function salvageInto(database: DatabaseSync, from: string, to: string): Promise<JournalSurvey> {
  try {
    create(database);
    const file = new JournalFile(database, Date.now);
    let batch: Write[] = [];
    const flush = () => {
      file.write(batch);
      batch = [];
    };
    const done = await survey(from, (write) => {
      batch.push(write);
      if (batch.length === 1000) flush();
    });
    flush();
    file.transaction(() => {
      for (const each of done.setAside) file.keepAside(each);
    });
    // A daemon that starts with this file must not find a smaller number than the old journal had
    // counted.
    file.countOn(writesIn(join(dirname(to), 'journal.writes')));
    // Any of the ends may be among the unreadable records.
    file.transaction(() => {
      file.forgetEnds(endPlace(Math.max(file.latestLife, file.writes) + 1, 0));
    });
    file.checkpoint('TRUNCATE');
    return done;
  } finally {
    database.close();
  }
}

function writesIn(path: string): number {
  if (!isThere(path)) return 0;
  const file = new WriteCountFile(path);
  file.close();
  return file.seen ?? 0;
}

function isStateFolder(path: string): boolean {
  return statSync(path).isDirectory() && !isThere(join(path, 'CURRENT'));
}

function journalsOf(folder: string): string[] {
  const known = (name: string) => /^journal(?:\.sqlite)?(?:\.broken-[^-]*-[^-]*-[^-]*|\.leveldb)?$/.test(name);
  return readdirSync(folder)
    .filter((name) => known(name) && !BESIDE.some((end) => name.endsWith(end)))
    .sort()
    .map((name) => join(folder, name));
}

/** Works on a copy, because SQLite may change a file when it opens it. */
async function survey(path: string, take: (write: Write) => void): Promise<JournalSurvey> {
  assertFree(path);
  const states: Record<string, number> = {};
  let newest = 0;
  const each = (write: Write) => {
    take(write);
    if (write.kind !== 'operation' || write.body === undefined) return;
    const record = parseRow({ key: write.key, body: write.body }, readOperation);
    const state = record?.state ?? 'UNREADABLE';
    states[state] = (states[state] ?? 0) + 1;
    newest = Math.max(newest, record?.eventTime ?? 0);
  };
  const read = statSync(path).isDirectory() ? await ofLevel(path, each) : ofFile(path, each);
  return { path, states, ...(newest === 0 ? {} : { newest: new Date(newest).toISOString() }), ...read };
}

type Read = Pick<JournalSurvey, 'kind' | 'readable' | 'setAside' | 'unreadable' | 'problem'>;

function ofFile(path: string, take: (write: Write) => void): Read {
  const scratch = mkdtempSync(join(tmpdir(), 'hostler-journal-'));
  const copy = join(scratch, basename(path));
  try {
    for (const end of ['', ...BESIDE])
      if (isThere(path + end)) copyFileSync(path + end, copy + end, constants.COPYFILE_FICLONE);
    const database = new DatabaseSync(copy);
    try {
      const problem = problemOf(database, path);
      const { kept, aside, unreadable } = readAll(database, take);
      return { kind: 'journal', readable: kept, setAside: aside, unreadable, ...problem };
    } finally {
      database.close();
    }
  } catch (error) {
    const { kind, why } = troubleOf(error);
    if (!SAYS_IT_IS_DAMAGED.includes(kind)) throw error;
    return { kind: 'journal', readable: {}, setAside: [], unreadable: 0, problem: why };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** All other kinds are about the disk, or the user's rights. */
const SAYS_IT_IS_DAMAGED: readonly TroubleKind[] = ['damaged', 'foreign'];

function problemOf(database: DatabaseSync, path: string): { readonly problem?: string } {
  try {
    assertOurs(database, path);
    const rows = database.prepare('PRAGMA integrity_check(5)').all();
    const problems = rows.map((row) => String(row['integrity_check'])).filter((text) => text !== 'ok');
    return problems.length === 0 ? {} : { problem: problems.join('; ') };
  } catch (error) {
    const { kind, why } = troubleOf(error);
    if (!SAYS_IT_IS_DAMAGED.includes(kind)) throw error;
    return { problem: why };
  }
}

async function ofLevel(path: string, take: (write: Write) => void): Promise<Read> {
  const aside: SetAside[] = [];
  const { taken, problem } = await readLevel(path, aside, (writes) => {
    writes.forEach(take);
    return Promise.resolve();
  });
  const facts = problem === undefined ? {} : { problem };
  return { kind: 'journal of an earlier version', readable: taken, setAside: aside, unreadable: 0, ...facts };
}

/**
 * Fails while a daemon uses the journal: a copy that is made meanwhile may be torn. The process
 * that took the daemon's flock has ended, so that lock is not visible inside a container; SQLite's
 * lock belongs to the daemon itself.
 */
function assertFree(path: string): void {
  const folder = dirname(path);
  if (basename(path) !== JOURNAL_FILE) return;
  const inodes = [join(folder, 'lock'), path].filter(isThere).map((file) => String(statSync(file).ino));
  // `3: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`
  const held = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .some((line) => inodes.includes(/^\d+: (?:FLOCK|POSIX) .* [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line)?.[1] ?? ''));
  if (held) throw new JournalToolError(`a daemon works with ${folder}: stop it first`);
}
