import type { BigIntStats } from 'node:fs';
import type { FileIdentity } from '../../domain/ports/handles.js';

/**
 * Stands where files have their filesystem's number: devices are identified by their own numbers.
 */
export const DEVICES = 1n << 62n;

/** What a file or block device is, whatever leads to it. */
export function identityOf(stat: BigIntStats): FileIdentity {
  if (stat.isBlockDevice()) return { device: DEVICES, inode: stat.rdev };
  return { device: stat.dev, inode: stat.ino };
}
