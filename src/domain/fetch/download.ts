import type { ImageAddress } from '../model/address.js';
import type { Checkpoint } from '../operations/recovery/resume-entries.js';
import type { FetchResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { SourceFacts, Sources } from '../ports/sources.js';
import { isGuarded, sourceText } from './source.js';
import { takeFile, verifyFile, type TakeFilePorts } from './take-file.js';
import { Transfer } from './transfer.js';
import { checksumText, type ExpectedChecksum } from '../model/checksum.js';
import type { Rate } from '../transfer/pace.js';
import type { SourceSpec } from '../model/image-source.js';
import type { StagingFile } from '../ports/targets.js';
import type { Follower } from '../ports/transfers.js';
import type { FetchTransferPorts } from './transfer-spec.js';

export type BringPorts = TakeFilePorts & FetchTransferPorts & { readonly sources: Sources };

export interface BringSpec {
  readonly source: SourceSpec;
  readonly target: ImageAddress;
  readonly checksum?: ExpectedChecksum;
  /** Unset: no limit. */
  readonly rate?: Rate;
  /** Hears what arrives by a transfer; a file of this host is taken at once. */
  readonly follower?: Follower;
}

/** The received file, and what the source reported about it. */
export interface Downloaded {
  readonly facts: SourceFacts;
  readonly networkBytes: bigint;
  readonly checksum?: ExpectedChecksum;
  /** For a later check whether the source still has this content. */
  readonly freshness?: string;
}

/**
 * Downloads the unchanged bytes of a source into a private file. `assertFacts` may refuse them
 * before the transfer.
 */
export async function download(
  { source, target, checksum: asked, rate, follower }: BringSpec,
  file: StagingFile,
  checkpoint: Checkpoint | undefined,
  limits: { readonly maxBytes: bigint; readonly assertFacts: (facts: SourceFacts) => void },
  run: Run,
  ports: BringPorts,
): Promise<Downloaded> {
  const what = sourceText(source);
  const { maxBytes } = limits;
  if (source.kind === 'file') {
    const { address } = await takeFile(source.path, target, file, { maxBytes, rate }, run, ports);
    if (asked !== undefined) await verifyFile({ ...file, address }, asked, what, run, ports.files);
    return { facts: {}, networkBytes: 0n, ...(asked === undefined ? {} : { checksum: asked }) };
  }
  run.phase('INSPECTING');
  await run.step('describe');
  const remote = ports.sources.open(source, run.secrets);
  const facts = await remote.describe(run.signal);
  limits.assertFacts(facts);
  const checksum = asked ?? facts.checksum;
  if (checksum === undefined && facts.unknownAlgorithm !== undefined) {
    const message = `${what} has a checksum by ${facts.unknownAlgorithm}, which is not known here, and was not verified`;
    run.warn({ reason: 'CHECKSUM_UNKNOWN', message });
  }
  const spec = {
    ...{ target, what, checksum, maxBytes, guarded: isGuarded(run.secrets) },
    ...(rate === undefined ? {} : { rate }),
    ...(follower === undefined ? {} : { follower }),
    ...(facts.lengthBytes === undefined ? {} : { lengthBytes: facts.lengthBytes }),
  };
  const transfer = new Transfer(remote, file, spec, run, ports);
  const { networkBytes, checksum: computed, freshness } = await transfer.from(checkpoint);
  return { facts, networkBytes, checksum: computed, ...(freshness === undefined ? {} : { freshness }) };
}

/** The facts of a download for the result. */
export function downloadFacts({ networkBytes, checksum }: Downloaded): Pick<FetchResult, 'networkBytes' | 'checksum'> {
  return checksum === undefined ? { networkBytes } : { networkBytes, checksum: checksumText(checksum) };
}
