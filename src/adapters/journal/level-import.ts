/** Imports the journal of an earlier version, which was a LevelDB folder, once. */
import { renameSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import * as z from 'zod';
import { isThere } from '../../file-io/look.js';
import { errnoOf } from '../linux/errno.js';
import { decode, encode, type SetAside, type Write } from './rows.js';
import { BESIDE, JOURNAL_FILE, JournalForeign } from './schema.js';
import type { JournalThread } from './thread.js';
import { syncFolderOf } from './write-count-file.js';

/** Prefixes of LevelDB keys, and the kinds that replace them. */
const PREFIXES = [
  ['op!', 'operation'],
  ['touched!', 'mark'],
  ['resume!', 'resume'],
  ['cached!', 'cached'],
] as const;
const BATCH = 500;
const PATIENCE_MS = 60_000;

export interface Imported {
  /** Where the LevelDB folder was moved to. */
  readonly movedTo: string;
  readonly taken: Readonly<Record<string, number>>;
  readonly aside: readonly SetAside[];
  /** What is missing or wrong; unset: everything was imported. */
  readonly problem?: string;
}

/**
 * Undefined if there is no such folder, or it was imported before. Nothing is changed until the new
 * file gets its name. Fails with JournalForeign, and with LevelDB's errors unless they report
 * damage.
 */
export async function importLevel(
  folder: string,
  threadAt: (path: string, countFile: string) => JournalThread,
): Promise<Imported | undefined> {
  const old = join(folder, 'journal');
  if (statSync(old, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined;
  const [path, countFile] = [join(folder, JOURNAL_FILE), join(folder, 'journal.writes')];
  const movedTo = `${old}.leveldb`;
  if (isThere(path)) {
    renameSync(old, movedTo);
    return undefined;
  }
  const [fresh, freshCountFile] = [`${path}.import`, `${countFile}.import`];
  for (const file of [freshCountFile, fresh, ...BESIDE.map((end) => fresh + end)]) rmSync(file, { force: true });
  const thread = threadAt(fresh, freshCountFile);
  let copied: Omit<Imported, 'movedTo'>;
  try {
    await thread.ask({ ask: 'open' }, PATIENCE_MS);
    const aside: SetAside[] = [];
    const write = async (writes: readonly Write[]) => {
      await thread.ask({ ask: 'write', writes, now: 0 }, PATIENCE_MS);
    };
    copied = { ...(await readLevel(old, aside, write)), aside };
    // The file is renamed without its log, so the log has to be written into the file first: SQLite
    // does not report a close that failed to do so.
    await thread.ask({ ask: 'mend' }, PATIENCE_MS);
    await thread.close(PATIENCE_MS);
  } finally {
    await thread.end();
  }
  renameSync(freshCountFile, countFile);
  renameSync(fresh, path);
  syncFolderOf(path);
  renameSync(old, movedTo);
  rmSync(join(folder, 'journal.total'), { force: true });
  return { movedTo, ...copied };
}

/**
 * Reads all readable records; `write` gets each in today's form, `aside` the unreadable ones. Fails
 * as `importLevel` does.
 */
export async function readLevel(
  old: string,
  aside: SetAside[],
  write: (writes: readonly Write[]) => Promise<void>,
): Promise<Pick<Imported, 'taken' | 'problem'>> {
  const { ClassicLevel: Level } = await import('classic-level');
  const level: ClassicLevel = new Level(old, { createIfMissing: false });
  const taken: Record<string, number> = {};
  try {
    await level.open();
    await assertKnown(level, old);
    let written = Number((await level.get('meta!pruned')) ?? 0);
    for (const [prefix, kind] of PREFIXES) {
      let batch: Write[] = [];
      const flush = async () => {
        if (batch.length > 0) await write(batch);
        taken[kind] = (taken[kind] ?? 0) + batch.length;
        batch = [];
      };
      for await (const [key, value] of level.iterator({ gt: prefix, lt: `${prefix}~` })) {
        const body = kind === 'operation' ? value.slice(value.indexOf('\n') + 1) : value;
        if (kind === 'operation') written += Number(value.slice(0, value.indexOf('\n')));
        const name = key.slice(prefix.length);
        const text = asJson(kind, body);
        if (text === undefined) aside.push({ kind, key: name, why: 'it is not as it was written' });
        else batch.push({ kind, key: name, body: text });
        if (batch.length === BATCH) await flush();
      }
      await flush();
    }
    const problem = await gap(level, old, written);
    return { taken, ...(problem === undefined ? {} : { problem }) };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { taken, problem: textOf(error) };
  } finally {
    await level.close();
  }
}

async function assertKnown(level: ClassicLevel, old: string): Promise<void> {
  const schema = await level.get('meta!schema');
  if (schema === '1') return;
  throw new JournalForeign(`${old} has schema ${JSON.stringify(schema)}, and only 1 can be imported: move it aside`);
}

/** The old journal stored the number of its writes, and so did a file beside it. */
async function gap(level: ClassicLevel, old: string, found: number): Promise<string | undefined> {
  const total = Number((await level.get('meta!total')) ?? 0);
  const beside = await readFile(`${old}.total`, 'utf8').catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return '';
  });
  const counted = Number(beside.trim() || '0');
  const most = Math.max(total, Number.isNaN(counted) ? 0 : counted);
  return found === most ? undefined : `${String(most)} records were written, ${String(found)} are there`;
}

/** A record in today's form; undefined if it cannot be read. */
function asJson(kind: string, body: string): string | undefined {
  try {
    if (kind !== 'mark') return encode(z.looseObject({}).parse(decode(body)));
    const number = z.string().transform(BigInt);
    return encode(
      z.looseObject({ device: number, inode: number, birthTimeNs: z.exactOptional(number) }).parse(decode(body)),
    );
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

/** Only LevelDB's own report of damage counts: all other errors are temporary. */
function isDamage(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if ('code' in each && each.code === 'LEVEL_CORRUPTION') return true;
  return textOf(error).includes('Corruption:');
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
