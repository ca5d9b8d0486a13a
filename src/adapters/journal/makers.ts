/** Operations that created files, with the facts that a list of files shows. */
import * as z from 'zod';
import { asAddress } from '../../domain/model/address.js';
import type { Maker } from '../../domain/operations/journal.js';
import { bigintIn, unescaped, type JournalRow } from './rows.js';

const text = z.string().transform(unescaped);
const number = z.string().transform((given, context) => {
  const digits = bigintIn(given);
  if (digits !== undefined) return BigInt(digits);
  context.addIssue({ code: 'custom', message: 'must be a number' });
  return z.NEVER;
});
/** A partial schema of a record: fields that are not needed are not decoded. */
const record = z.object({
  id: text,
  caller: text,
  labels: z.record(z.string(), text),
  addresses: z.array(text.transform(asAddress)),
  endTime: z.number(),
  commit: z.object({ made: z.object({ device: number, inode: number }) }),
});

/** For the journal's thread. A record of another version without these fields is left out. */
export function makersIn(rows: readonly JournalRow[]): Maker[] {
  return rows.flatMap(({ body }) => {
    const { data } = record.safeParse(JSON.parse(body));
    if (data === undefined) return [];
    const { commit, ...maker } = data;
    return [{ ...maker, made: commit.made }];
  });
}
