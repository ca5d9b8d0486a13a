/** The thread that lists the folders of one root; `list-thread.ts` starts it. */
import { parentPort } from 'node:worker_threads';
import { inspect } from 'node:util';
import type { BigIntStats } from 'node:fs';
import type { FileKind } from '../../../domain/ports/handles.js';
import { errnoOf } from '../../linux/errno.js';
import { sizesOf } from '../../linux/system-sizes.js';
import { KINDS, type ListAnswer, type ListQuestion, type PageColumns } from './list-protocol.js';
import { PageReader, type NamedStats } from './page-reader.js';
import { WindowStore } from './window-store.js';

/** Memory limit of all windows of the thread together. */
const MAX_BYTES = 64 * 1024 * 1024;
const PERMISSION_BITS = 0o7777n;

const windows = new WindowStore(MAX_BYTES);
const pages = new Map<number, PageReader>();

parentPort?.on('message', (question: ListQuestion) => {
  if (question.kind === 'end') {
    end(question.id);
    return;
  }
  const answer = answerTo(question);
  if (answer.kind !== 'resumes') end(question.id);
  parentPort?.postMessage(answer);
});

function answerTo(question: Exclude<ListQuestion, { kind: 'end' }>): ListAnswer {
  const { id } = question;
  try {
    if (question.kind === 'begin') pages.set(id, new PageReader(question.job, windows));
    const page = pages.get(id)?.step();
    return page === undefined ? { id, kind: 'resumes' } : { id, kind: 'page', ...columns(page) };
  } catch (error) {
    return { id, kind: 'failed', errno: errnoOf(error), text: inspect(error) };
  }
}

function end(id: number): void {
  const page = pages.get(id);
  pages.delete(id);
  page?.end();
}

function columns({ found, more, last }: NamedStats): PageColumns {
  const numbers = found.flatMap(({ stat }) => numbersOf(stat));
  return { names: found.map(({ name }) => name).join('/'), numbers, more, last };
}

/** The fields of an entry in the order of `FIELDS`. */
function numbersOf(stat: BigIntStats): bigint[] {
  const { lengthBytes, allocatedBytes } = sizesOf(stat);
  const { mode, uid, gid, mtimeNs } = stat;
  const kind = BigInt(KINDS.indexOf(kindOf(stat)));
  return [kind, lengthBytes, allocatedBytes, mode & PERMISSION_BITS, uid, gid, mtimeNs];
}

function kindOf(stat: BigIntStats): FileKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  if (stat.isSymbolicLink()) return 'link';
  return stat.isBlockDevice() ? 'block' : 'other';
}
