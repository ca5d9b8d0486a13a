/** The thread that knows the images of one root; `image-index.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { inspect } from 'node:util';
import type { NameChange } from '../../domain/ports/changes.js';
import { firstOf, type BadFile } from './bad-files.js';
import type { PlaceOfImages } from './root-calls.js';
import { RootIndex, type FoundDependants } from './root-index.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

export interface IndexJob {
  readonly root: string;
  /** What it is; a question says what it has become. */
  readonly identity: FileIdentity;
  readonly closed: readonly string[];
  readonly holds: PlaceOfImages;
}

/** Who needs a file, or what is lost with a name. */
export type IndexSubject = { readonly file: FileIdentity } | { readonly place: string; readonly change: NameChange };

export type IndexQuestion = IndexSubject & { readonly id: number; readonly root: FileIdentity };

export type IndexMessage =
  | { readonly kind: 'beat' }
  | { readonly kind: 'bad'; readonly bad: BadFile }
  /** The first look is over. */
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

/** One look for all that wait; the first look at everything comes before all questions. */
let work: Promise<unknown> = index
  .refresh()
  .then(() => say({ kind: 'looked', unseen: index.unseen }))
  .catch((error: unknown) => say({ kind: 'failed', id: -1, text: inspect(error) }));
port?.on('message', (question: IndexQuestion) => {
  waiting.push(question);
  if (waiting.length === 1) work = work.then(answerAll);
});

async function answerAll(): Promise<void> {
  // Those that come in while it works are not answered by what it has seen before they came.
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
