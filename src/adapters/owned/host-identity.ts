import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { ownFileError } from '../../domain/model/own-files.js';
import { errnoOf } from '../linux/errno.js';

/**
 * Ids of this machine: that of the installation, otherwise that of the board. Only root can read
 * the second.
 */
const SOURCES = ['/etc/machine-id', '/sys/class/dmi/id/product_uuid'];
const DIGITS = 16;

export interface HostIdentity {
  /** A digest: machine-id(5) asks not to expose the id itself. Empty: this host has none. */
  readonly machine: string;
  readonly name: string;
}

/** Distinguishes this host from another one to which its files were copied. */
export async function hostIdentity(sources: readonly string[] = SOURCES): Promise<HostIdentity> {
  for (const source of sources) {
    const id = await readFile(source, 'utf8').catch((error: unknown) => {
      if (['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return '';
      throw ownFileError('the id of this machine', source, error);
    });
    if (id.trim() === '' || id.trim() === 'uninitialized') continue;
    const machine = createHash('sha256').update(`hostler ${id.trim()}`).digest('hex').slice(0, DIGITS);
    return { machine, name: hostname() };
  }
  return { machine: '', name: hostname() };
}
