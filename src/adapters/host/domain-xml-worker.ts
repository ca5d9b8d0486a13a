/** A thread that reads one domain's XML; `domain-xml.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { asHostlerError } from '../../domain/model/errors.js';
import type { DomainDisks } from '../../domain/verbs/find-root-disk.js';
import { FIELD, readDomain } from './read-domain.js';

export type DomainAnswer = { readonly disks: DomainDisks } | { readonly refusal: string };

function answer(xml: string): DomainAnswer {
  try {
    return { disks: readDomain(xml) };
  } catch (error) {
    return { refusal: asHostlerError(error).message.replace(`${FIELD}: `, '') };
  }
}

parentPort?.postMessage(answer(String(workerData)));
