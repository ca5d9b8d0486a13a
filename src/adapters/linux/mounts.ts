import { readFile } from 'node:fs/promises';
import type { Handle } from '../../domain/ports/handles.js';

/** A line of /proc/self/mountinfo. */
export interface Mount {
  readonly id: number;
  /** `major:minor` of the filesystem itself; on btrfs it differs from stat's. */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
}

/** All mounts of this process. */
export async function readMounts(): Promise<Mount[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** See proc(5): a lone dash ends the optional fields. */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return {
        id: Number(fields[0]),
        device: fields[2] ?? '',
        mountPoint: unescapeOctal(fields[4] ?? ''),
        type: fields[dash + 1] ?? '',
        source: unescapeOctal(fields[dash + 2] ?? ''),
      };
    });
}

/** The mount of an open descriptor. */
export async function mountOf({ fd }: Handle, mounts: readonly Mount[]): Promise<Mount | undefined> {
  const info = await readFile(`/proc/self/fdinfo/${String(fd)}`, 'utf8');
  const id = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]);
  return mounts.find((mount) => mount.id === id);
}

function unescapeOctal(text: string): string {
  return Buffer.from(
    Buffer.from(text)
      .toString('latin1')
      .replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    'latin1',
  ).toString('utf8');
}
