/**
 * A verb on a disk that stops answering in the middle: it ends, others go on, and nothing is left
 * when the disk is back.
 */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { Daemon } from '../daemon.js';
import type { FaultFilesystem } from './fault-filesystem.js';
import { leftovers } from '../files/names-below.js';
import { CHANGING, LOOKING, empty, type FaultCase } from './nth-call.js';
import { CallError, type Message } from '../stranger.js';
import { until } from '../until.js';

const KINDS = [...CHANGING, ...LOOKING];
/** How a call ends whose disk does not answer: by the patience of its root, or by a cancel. */
const ENDS = ['ROOT_STALLED', 'CANCELLED', 'DEPENDANTS_UNKNOWN'];

interface Hang {
  readonly daemon: Daemon;
  readonly disk: FaultFilesystem;
  /** Where in the calls of the verb the disk stops; 0: at the first, 1: at the last. */
  readonly part: number;
  /** An image on another disk, which others make meanwhile. */
  readonly near?: string;
}

type Ended = { readonly error?: unknown };

/** From some call on the disk hangs, until the verb has ended or cannot be ended. */
export async function hangUnder(
  each: FaultCase,
  { daemon, disk, part, near = daemon.image('near') }: Hang,
): Promise<string> {
  const reset = each.reset ?? (() => empty(disk.behind));
  await reset();
  await each.prepare();
  await disk.fail();
  await each.call();
  const count = (await disk.seen()).calls.filter((call) => KINDS.some((kind) => call.startsWith(`${kind} `))).length;
  await reset();
  await each.prepare();
  await disk.fail({ kinds: KINDS, hang: true, nth: Math.max(1, Math.round(count * part)), times: 0 });
  let ended: Ended | undefined;
  const call = each.call().then(
    (): Ended => (ended = {}),
    (error: unknown): Ended => (ended = { error }),
  );
  try {
    await until(async () => ended !== undefined || (await disk.seen()).failed.length > 0);
    await othersGoOn(daemon, near);
    const cancelled = await cancelAll(daemon);
    // In a phase that must not be torn it waits for its disk.
    if (cancelled) await until(() => ended !== undefined, 20_000);
  } finally {
    await disk.heal();
  }
  const { error } = await call;
  const reason = error === undefined ? 'OK' : error instanceof CallError ? error.reason : '';
  assert.ok(reason === 'OK' || ENDS.includes(reason), `${reason}: ${inspect(error)}`);
  const left = each.leftovers ?? (() => leftovers(disk.behind));
  await until(async () => (await left()).length === 0);
  if (reason === 'OK') return reason;
  await until(async () => (await again(each)) !== 'later');
  return reason;
}

/** A root that was stalled is asked again only when what was overdue has come back. */
async function again(each: FaultCase): Promise<'done' | 'later'> {
  try {
    await each.done(await each.call());
    return 'done';
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (each.again?.includes(error.reason) === true) return 'done';
    if (['ROOT_STALLED', 'PATH_BUSY', 'DEPENDANTS_UNKNOWN'].includes(error.reason)) return 'later';
    throw error;
  }
}

async function othersGoOn(daemon: Daemon, path: string): Promise<void> {
  const near = { path, format: 'raw', size: '1M', overwrite: true, allow_dependants: true };
  await daemon.stranger.operation('ImageService/CreateImage', near);
  await daemon.stranger.unary('FileService/StatFile', { path });
}

/** Whether whatever is at work could be cancelled, or nothing is. */
async function cancelAll(daemon: Daemon): Promise<boolean> {
  const { operations = [] } = (await daemon.stranger.unary('OperationService/ListOperations', {
    filter: { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] },
  })) as { operations?: Message[] };
  for (const { operation_id } of operations)
    try {
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id });
    } catch (error) {
      if (!(error instanceof CallError && error.reason === 'NOT_CANCELLABLE')) throw error;
      return false;
    }
  return true;
}
