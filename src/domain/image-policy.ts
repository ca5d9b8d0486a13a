import { HostlerError } from './errors.js';
import type { Finding } from './image-info.js';
import type { Chain } from './ports.js';

/** What reaches beyond the image, what nobody here understands, or what no program makes: no tool may open it, whoever made it. */
const NEVER: readonly Finding['reason'][] = [
  'NAMES_OTHER_FILES',
  'EXTERNAL_DATA_FILE',
  'UNKNOWN_FEATURE',
  'METADATA_OVERLAPS',
];

/** Lets a tool open a chain of a trusted root, or fails with IMAGE_UNSAFE and each finding. */
export function assertSafe(chain: Chain): void {
  for (const { file, facts } of chain) {
    const bad = facts.findings.filter(({ reason }) => NEVER.includes(reason));
    if (bad.length === 0) continue;
    throw new HostlerError('IMAGE_UNSAFE', `${file.address}: ${bad.map(({ message }) => message).join('; ')}`, {
      facts: { path: file.address, findings: bad.map(({ reason }) => reason).join(' ') },
    });
  }
}
