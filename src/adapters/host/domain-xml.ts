import { Worker } from 'node:worker_threads';
import { FairRoom, ONE_THREAD } from '../../domain/budgets/fair-room.js';
import type { DomainDisks, DomainReader } from '../../domain/verbs/find-root-disk.js';
import { deferred, orAborted } from '../../domain/model/async.js';
import type { DomainAnswer } from './domain-xml-worker.js';
import { readDomain, refused } from './read-domain.js';
import type { Waiter } from '../../domain/model/waiter.js';

/** Longer than any domain that a host could run. */
const MAX_CHARS = 512 * 1024;
/**
 * Limits for parsing on the main thread: the number of marks that the parser turns into objects,
 * and of characters; this takes some milliseconds. A domain with a few disks has two hundred marks.
 */
const [FEW_MARKS, FEW_CHARS] = [500, 32 * 1024];
/** Time limit; the largest domain takes a tenth of it. */
const PATIENCE_MS = 3000;
const MOST_MIB = 256;
const WORKER = new URL('./domain-xml-worker.js', import.meta.url);

/**
 * Reads the XML of a libvirt domain. A large document is parsed in a worker thread with bounded
 * time (PATIENCE_MS) and memory (MOST_MIB); there is one such thread, and callers take turns.
 */
export class DomainXml implements DomainReader {
  readonly #thread = new FairRoom(ONE_THREAD);

  async read(xml: string, { identity, signal }: Waiter): Promise<DomainDisks> {
    if (xml.length > MAX_CHARS) throw refused(`longer than ${String(MAX_CHARS)} characters`);
    if (isSmall(xml)) return readDomain(xml);
    const turn = await this.#thread.take(identity, 1, signal);
    try {
      return await readInThread(xml, signal);
    } finally {
      turn.give();
    }
  }
}

function isSmall(xml: string): boolean {
  if (xml.length > FEW_CHARS) return false;
  return (xml.match(/[<=&]/g) ?? []).length <= FEW_MARKS;
}

async function readInThread(xml: string, signal: AbortSignal): Promise<DomainDisks> {
  const worker = new Worker(WORKER, { workerData: xml, resourceLimits: { maxOldGenerationSizeMb: MOST_MIB } });
  const answer = deferred<DomainAnswer>();
  worker.once('message', (message: DomainAnswer) => answer.resolve(message));
  // The thread ran out of memory because of the document.
  worker.once('error', (error: unknown) => answer.resolve({ refusal: `cannot be read: ${String(error)}` }));
  const timer = setTimeout(() => answer.resolve({ refusal: 'takes too long to read' }), PATIENCE_MS);
  try {
    const found = await orAborted(answer.promise, signal);
    if ('refusal' in found) throw refused(found.refusal);
    return found.disks;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
