import { HostlerError } from './errors.js';
import type { Layer } from './ports.js';

/**
 * A guest's qemu opens the layers below an overlay by their names alone: a disk that is another one then loses sectors, or all of them, without
 * a word. Fails with BASE_SIZE_DIFFERS.
 */
export function assertSameForGuests(base: readonly Layer[]): void {
  for (const {
    file: { address },
    format,
    facts: { virtualSizeBytes, untoldSizeBytes },
  } of base) {
    if (untoldSizeBytes === undefined) continue;
    const [ours, theirs] = [String(virtualSizeBytes), String(untoldSizeBytes)];
    throw new HostlerError(
      'BASE_SIZE_DIFFERS',
      `${address} has ${ours} bytes, but a guest's qemu would take this ${format} for a disk of ${theirs}`,
      { facts: { path: address, virtual_size_bytes: ours, qemu_size_bytes: theirs } },
    );
  }
}
