import { HostlerError } from '../model/errors.js';
import type { Files } from '../ports/images.js';
import type { Resolved } from '../ports/handles.js';

/**
 * Fails with SOURCE_CHANGED if a file has changed: the data that was read may never have been its
 * content.
 */
export async function assertUnchanged(sources: readonly Resolved[], files: Files): Promise<void> {
  for (const source of sources) {
    const now = await files.refresh(source);
    if (now.lengthBytes === source.lengthBytes && now.modifyTimeNs === source.modifyTimeNs) continue;
    throw new HostlerError('SOURCE_CHANGED', `${source.address} changed while it was read`, {
      facts: { path: source.address },
    });
  }
}
