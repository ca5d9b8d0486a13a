/**
 * The n-th system call of a verb fails, for each n: its answer is planned, nothing is left, the
 * same call again succeeds.
 */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { CallKind, Fault, FaultFilesystem } from './fault-filesystem.js';
import { leftovers } from '../files/names-below.js';
import { CallError } from '../stranger.js';

/** Calls that change something or make it durable. */
export const CHANGING: readonly CallKind[] = [
  ...(['mkdir', 'rmdir', 'unlink', 'rename', 'link', 'symlink', 'chmod', 'chown', 'truncate', 'utimens'] as const),
  ...(['create', 'write', 'fallocate', 'fsync', 'fsyncdir'] as const),
];
/** Calls that look. getattr is left out: the kernel asks for it before each of these. */
export const LOOKING: readonly CallKind[] = ['open', 'read', 'readdir', 'readlink', 'statfs'];

export interface FaultCase {
  readonly name: string;
  /** Makes what the call needs, without faults. */
  readonly prepare: () => Promise<unknown>;
  /** Runs before that; unset: the disk is emptied. */
  readonly reset?: () => Promise<unknown>;
  /**
   * What is there that no success and no failure may leave; unset: private folders anywhere on the
   * disk.
   */
  readonly leftovers?: () => Promise<readonly string[]>;
  readonly call: () => Promise<unknown>;
  /** Fails unless what a success promises is so. */
  readonly done: (answer: unknown) => Promise<unknown>;
  /**
   * Reasons that the same call again may have: it took effect in the image before the disk failed.
   */
  readonly again?: readonly string[];
  /**
   * Fails unless what a failure promises is so; unset: it promises nothing but that nothing is
   * left.
   */
  readonly failed?: () => Promise<unknown>;
}

export interface Weather {
  readonly kinds: readonly CallKind[];
  readonly errno: NonNullable<Fault['errno']>;
  /** Reasons that are planned for it. */
  readonly reasons: readonly string[];
  /** Each so many-th call fails; 1: each. */
  readonly stride: number;
  /** Only calls on paths that contain this. */
  readonly match?: string;
}

/**
 * What may fail without an effect on the answer: the private folder is removed after the end, and a
 * warning says so.
 */
const CLEANING = /^(?:unlink|rmdir|readdir|open) .*\/\.hostler-/;

/** Fails the n-th call, the next, and so on, until the verb passes; how many failed. */
export async function failEachCall(disk: FaultFilesystem, each: FaultCase, weather: Weather): Promise<number> {
  const { kinds, errno, stride, match = '' } = weather;
  for (let [nth, count] = [1, 0]; ; nth += stride, count++) {
    await (each.reset ?? (() => empty(disk.behind)))();
    await each.prepare();
    await disk.fail({ kinds, errno, nth, match });
    const [answer, error] = await each.call().then(
      (given) => [given, undefined] as const,
      (thrown: unknown) => [undefined, thrown] as const,
    );
    const { failed } = await disk.seen();
    await disk.heal();
    const where = `${each.name}, call ${String(nth)} (${failed.join('; ')}) ${String(errno)}`;
    try {
      await judge(disk, each, { answer, error, failed }, weather);
    } catch (cause) {
      throw new Error(`${where}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    if (failed.length === 0) return count;
  }
}

interface Outcome {
  readonly answer: unknown;
  readonly error: unknown;
  readonly failed: readonly string[];
}

async function judge(
  disk: FaultFilesystem,
  each: FaultCase,
  { answer, error, failed }: Outcome,
  { reasons }: Weather,
): Promise<void> {
  const left = each.leftovers ?? (() => leftovers(disk.behind));
  if (!failed.some((call) => CLEANING.test(call))) assert.deepEqual(await left(), [], 'left over');
  if (error === undefined) {
    await each.done(answer);
    return;
  }
  assert.ok(error instanceof CallError, inspect(error));
  assert.notEqual(failed.length, 0, `no call failed, and yet: ${error.message}`);
  assert.ok(reasons.includes(error.reason), `${error.reason}: ${error.message}`);
  await each.failed?.();
  try {
    await each.done(await each.call());
  } catch (second) {
    if (second instanceof CallError && each.again?.includes(second.reason) === true) return;
    throw second;
  }
}

export async function empty(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
}
