/** An operation that takes its time, for cases that look at it while it runs. */
import type { ServiceError } from '@grpc/grpc-js';
import type { OperationEvent } from '../../src/gen/hostler/v1/operation.js';
import * as image from '../agent/image-rpcs.js';
import { refusalOf, type Refusal } from '../agent/refusal.js';
import { MIB, noise } from '../content/noise.js';
import type { Bench } from './bench.js';

/** Long enough for every look at it. */
const SOURCE_BYTES = 32 * MIB;
const BYTES_PER_SECOND = 512 * 1024;

export interface Work {
  readonly id: string;
  readonly target: string;
  readonly events: readonly OperationEvent[];
  /** How it fails. Rejects when it succeeds. */
  readonly failed: Promise<Refusal>;
  /** The caller goes. */
  readonly leave: () => void;
}

interface Choices {
  readonly target?: string;
  readonly detach?: boolean;
  readonly requestId?: string;
  readonly labels?: Record<string, string>;
  readonly deadlineMs?: number;
}

/** Begins a slow ConvertImage; resolved when it has moved some bytes. */
export async function slowWork(at: Bench, { deadlineMs, ...choices }: Choices = {}): Promise<Work> {
  const source = at.path('slow.raw');
  if (!(await at.exists(source))) await at.write('slow.raw', noise(SOURCE_BYTES));
  const fields = {
    source,
    sourceFormat: 'raw',
    target: at.path('slow.qcow2'),
    targetFormat: 'qcow2',
    bandwidthBytesPerSecond: BYTES_PER_SECOND,
    ...choices,
  };
  const stream = at.agent.begin(image.convertImage, fields, deadlineMs);
  const events: OperationEvent[] = [];
  const failed = new Promise<Refusal>((resolve, reject) => {
    stream.once('error', (error: ServiceError) => resolve(refusalOf(error)));
    stream.once('end', () => reject(new Error('the slow work has succeeded')));
  });
  failed.catch(() => undefined); // avoids unhandledRejection; the case awaits it
  const moving = new Promise<void>((resolve) => {
    stream.on('data', (event: OperationEvent) => {
      events.push(event);
      if ((event.progress?.doneBytes ?? 0n) > 0n) resolve();
    });
  });
  const early = await Promise.race([moving, failed]);
  if (early !== undefined) throw early;
  return { id: events[0]?.operationId ?? '', target: fields.target, events, failed, leave: () => stream.cancel() };
}
