import type { BigIntStats } from 'node:fs';
import type { FileIdentity } from '../../domain/ports/handles.js';

/** Stands in for a file's device number: block devices are identified by their own numbers. */
export const DEVICES = 1n << 62n;

/** The identity of a file or block device, whatever path leads to it. */
export function identityOf(stat: BigIntStats): FileIdentity {
  if (stat.isBlockDevice()) return { device: DEVICES, inode: stat.rdev };
  return { device: stat.dev, inode: stat.ino };
}
