/** The positions at which callers resume a watch of all operations. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { invalidFields, type HostlerError } from '../model/errors.js';
import type { WatchPosition } from './hub.js';

const WHO_DIGITS = 8;
const SEAL_DIGITS = 20;
const parts = z
  .string()
  .regex(/^[0-9a-z]{20}-[0-9a-z]{1,11}-[0-9a-z]{1,11}-[0-9a-f]{8}-[0-9a-f]{20}$/)
  .transform((text) => text.split('-'));

/**
 * Creates and reads cursors. A cursor belongs to one daemon and one caller. It is not a secret and
 * gives no rights: its seal only detects mistakes, so the key need not be secret either.
 */
export class Cursors {
  /** @param key the agent's id, which stays the same when the daemon restarts */
  constructor(private readonly key: string) {}

  of({ ended, life, moved }: WatchPosition, identity: string): string {
    const text = [ended, life.toString(36), moved.toString(36), who(identity)].join('-');
    return `${text}-${this.#seal(text)}`;
  }

  /** Fails with INVALID_FIELD. */
  read(cursor: string, identity: string): WatchPosition {
    const { data } = parts.safeParse(cursor);
    const [ended = '', life = '', moved = '', whose = '', seal = ''] = data ?? [];
    const expected = this.#seal([ended, life, moved, whose].join('-'));
    if (data === undefined || !timingSafeEqual(Buffer.from(seal), Buffer.from(expected)))
      throw wrong('must be a cursor that this daemon has sent');
    if (whose !== who(identity)) throw wrong('was sent to another caller');
    return { ended, life: Number.parseInt(life, 36), moved: Number.parseInt(moved, 36) };
  }

  #seal(text: string): string {
    return createHmac('sha256', this.key).update(text).digest('hex').slice(0, SEAL_DIGITS);
  }
}

function who(identity: string): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, WHO_DIGITS);
}

function wrong(description: string): HostlerError {
  return invalidFields([{ field: 'cursor', description }]);
}
