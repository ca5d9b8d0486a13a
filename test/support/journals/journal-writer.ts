/**
 * A process that writes operations into a journal, one after the other, and says which are durable.
 * To be killed.
 */
import { openJournal } from './journals.js';
import { done, record } from './records.js';

const [folder = '', from = '0'] = process.argv.slice(2);
const { journal } = await openJournal(folder, { limits: { operations: 40, ms: 1e15 } });
for (let n = Number(from); ; n += 1) {
  await journal.put(record(n));
  await journal.put(done(n));
  process.stdout.write(`${String(n)}\n`);
}
