import { closeSync, constants, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../linux/errno.js';
import { SYNC } from '../gates/file-calls.js';
import type { LockQuery } from '../gates/lock-query.js';
import type { Root } from '../paths/roots.js';
import { procPath } from '../linux/proc-path.js';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/** Whether an agent's daemon is running; unknown if that cannot be determined. */
export type Life = 'lives' | 'ended' | 'unknown';

/**
 * A running daemon holds a lock on the folder of each of its roots: on the one byte whose offset is
 * its agent id. So every daemon of this host that reaches the folder, by any path, can query any
 * agent, without a file in the root.
 */
export class AgentLocks {
  readonly #held: number[] = [];

  /** @param query unset on a host without lock queries */
  constructor(
    private readonly roots: readonly Root[],
    private readonly query: LockQuery | undefined,
  ) {}

  /**
   * Takes the lock in all roots; false if another daemon has it in one of them, and then no lock is
   * kept.
   */
  hold(agentId: string): boolean {
    const { query } = this;
    if (query === undefined) return true;
    const at = byteOf(agentId);
    for (const root of this.roots) {
      if (root.gate.calls !== SYNC) continue;
      const fd = openSync(procPath(root), FOLDER);
      this.#held.push(fd);
      if (query.hold(fd, at) && query.isHeld(fd, at)) {
        this.release();
        return false;
      }
    }
    return true;
  }

  release(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  /**
   * State of the daemon that made a private folder in this folder. Its root may lie inside ours, or
   * the reverse.
   */
  lifeIn(folder: string, agentId: string): Life {
    if (this.query === undefined || !this.#isLocal(folder)) return 'unknown';
    let answer: Life = 'ended';
    for (let path = folder; ; path = dirname(path)) {
      const life = this.#lifeAt(path, byteOf(agentId));
      if (life === 'lives') return 'lives';
      if (life === 'unknown') answer = 'unknown';
      if (path === '/') return answer;
    }
  }

  #lifeAt(path: string, at: bigint): Life {
    let fd: number | undefined;
    try {
      fd = openSync(path, FOLDER);
      return this.query?.isHeld(fd, at) === false ? 'ended' : 'lives';
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return 'unknown';
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /** On a local filesystem: on others, hosts do not see each other's locks. */
  #isLocal(folder: string): boolean {
    const around = this.roots.filter(({ realPath }) => folder === realPath || folder.startsWith(`${realPath}/`));
    return around.length > 0 && around.every(({ gate }) => gate.calls === SYNC);
  }
}

function byteOf(agentId: string): bigint {
  return BigInt(`0x${agentId}`);
}
