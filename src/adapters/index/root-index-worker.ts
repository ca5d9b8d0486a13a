/** The thread that holds the index of one root; `image-index.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { inspect } from 'node:util';
import type { NameChange } from '../../domain/ports/changes.js';
import { firstOf, type BadFile } from './bad-files.js';
import type { PlaceOfImages } from './root-calls.js';
import { RootIndex, type FoundDependants } from './root-index.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

export interface IndexJob {
  readonly root: string;
  /** Identity of the root at the start; a question carries its current identity. */
  readonly identity: FileIdentity;
  readonly closed: readonly string[];
  readonly holds: PlaceOfImages;
}

/** The question: which images need a file, or which would lose a file if a name changes. */
export type IndexSubject = { readonly file: FileIdentity } | { readonly place: string; readonly change: NameChange };

export type IndexQuestion = IndexSubject & { readonly id: number; readonly root: FileIdentity };

export type IndexMessage =
  | { readonly kind: 'beat' }
  | { readonly kind: 'bad'; readonly bad: BadFile }
  /** The first scan has ended. */
  | { readonly kind: 'looked'; readonly unseen: FoundDependants['unseen'] }
  | ({ readonly kind: 'found'; readonly id: number } & FoundDependants)
  | { readonly kind: 'failed'; readonly id: number; readonly text: string };

const port = parentPort;
const say = (message: IndexMessage) => port?.postMessage(message);
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what ImageIndex gave
const { root, identity, closed, holds } = workerData as IndexJob;
const index = new RootIndex(
  root,
  identity,
  closed,
  () => say({ kind: 'beat' }),
  firstOf((bad) => say({ kind: 'bad', bad })),
  holds,
);

const waiting: IndexQuestion[] = [];

/** One scan serves all waiting questions; the first full scan runs before all questions. */
let work: Promise<unknown> = index
  .refresh()
  .then(() => say({ kind: 'looked', unseen: index.unseen }))
  .catch((error: unknown) => say({ kind: 'failed', id: -1, text: inspect(error) }));
port?.on('message', (question: IndexQuestion) => {
  waiting.push(question);
  if (waiting.length === 1) work = work.then(answerAll);
});

async function answerAll(): Promise<void> {
  // Questions that arrive during a scan are not answered by it: it may have missed what changed
  // before they arrived.
  const questions = waiting.splice(0);
  try {
    const last = questions.at(-1);
    if (last !== undefined) await index.refresh(last.root);
    for (const question of questions) {
      const found =
        'file' in question ? index.dependantsOf(question.file) : index.onName(question.place, question.change);
      say({ kind: 'found', id: question.id, ...found });
    }
  } catch (error) {
    for (const { id } of questions) say({ kind: 'failed', id, text: inspect(error) });
  }
}
