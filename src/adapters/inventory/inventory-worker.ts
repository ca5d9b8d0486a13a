/** The thread of the inventory of one root; `root-inventory.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { inspect } from 'node:util';
import { isOfDatabase } from './inventory-file.js';
import { InventoryKeeper } from './inventory-keeper.js';
import { WATCHED_MS, type InventoryJob, type InventoryMessage, type InventoryQuestion } from './messages.js';

const port = parentPort;
const say = (message: InventoryMessage) => port?.postMessage(message);
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what RootInventory gave
const keeper = new InventoryKeeper(workerData as InventoryJob, {
  beat: () => say({ kind: 'beat' }),
  moved: (number) => say({ kind: 'moved', number }),
  failed: (error) => say({ kind: 'failed', text: inspect(error) }),
});
keeper.start();
say({ kind: 'beat' });

port?.on('message', (message: { readonly id: number; readonly question: InventoryQuestion } | 'end' | 'watched') => {
  if (message === 'end') {
    keeper.close();
    port.close();
    return;
  }
  if (message === 'watched') {
    keeper.watched(WATCHED_MS);
    return;
  }
  const { id, question } = message;
  void keeper
    .answer(question)
    .catch((error: unknown) => ({ kind: 'failed' as const, text: inspect(error), ofState: isOfDatabase(error) }))
    .then((answer) => {
      say({ kind: 'answer', id, answer });
      // The next thread checks whether the file is sound, and creates a new one if not.
      if (answer.kind === 'failed' && answer.ofState) process.exit();
    });
});
