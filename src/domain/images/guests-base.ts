import { HostlerError, unsupported } from '../model/errors.js';
import type { Layer } from '../ports/tools.js';

/**
 * A guest's qemu opens the layers below an overlay by their names alone: with another disk under a
 * name, the guest would silently lose some or all sectors. Fails with BASE_SIZE_DIFFERS; and with
 * UNSUPPORTED_BY_BACKEND for layers of several files, which the guest's qemu may read differently.
 */
export function assertSameForGuests(base: readonly Layer[]): void {
  for (const { file, format, facts, extents } of base) {
    const { address } = file;
    if (extents !== undefined)
      throw unsupported(`${address} is an image of several files, which is no base: convert it first`, {
        path: address,
      });
    if (facts.untoldSizeBytes === undefined) continue;
    const [ours, theirs] = [String(facts.virtualSizeBytes), String(facts.untoldSizeBytes)];
    throw new HostlerError(
      'BASE_SIZE_DIFFERS',
      `${address} has ${ours} bytes, but a guest's qemu would take this ${format} for a disk of ${theirs}`,
      { facts: { path: address, virtual_size_bytes: ours, qemu_size_bytes: theirs } },
    );
  }
}
