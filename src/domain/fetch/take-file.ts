import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import { rest, scale } from '../model/numbers.js';
import type { Run } from '../operations/verb.js';
import type { Files } from '../ports/images.js';
import { rawFacts } from '../images/raw-facts.js';
import type { Rate } from '../transfer/pace.js';
import { RunningDigest } from '../transfer/running-digest.js';
import { assertUnchanged } from '../images/unchanged.js';
import { assertWithin } from './wrong-bodies.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Resolved } from '../ports/handles.js';
import type { StagingFile } from '../ports/targets.js';
import type { ImageTool, Reflink } from '../ports/tools.js';

export interface TakeFilePorts {
  readonly files: Files;
  readonly reflink: Reflink;
  readonly tool: ImageTool;
}

const READ_BYTES = 1024 * 1024;

/**
 * Takes the unchanged bytes of a file of this host: shares extents if the filesystem can, and
 * otherwise copies without holes. Fails with SOURCE_CHANGED.
 */
export async function takeFile(
  from: ImageAddress,
  target: ImageAddress,
  file: StagingFile,
  { maxBytes, rate }: { readonly maxBytes: bigint; readonly rate: Rate | undefined },
  run: Run,
  { files, reflink, tool }: TakeFilePorts,
): Promise<Resolved> {
  const source = await files.refresh(run.file(from));
  assertWithin(source.lengthBytes, maxBytes, from);
  run.phase('CLONING');
  await run.step('clone');
  await file.remove();
  const objection = await reflink.objection(source, run.target(target).directory);
  if (objection !== undefined || (await reflink.clone(source, file, run.tool())) !== true) {
    const totalBytes = source.allocatedBytes < source.lengthBytes ? source.allocatedBytes : source.lengthBytes;
    const skippedBytes = rest(source.lengthBytes, totalBytes);
    await run.reserve(target, totalBytes, file);
    run.phase('COPYING');
    await tool.convert(
      // As raw bytes it may be read in place, trusted or not.
      [{ file: source, format: 'raw', facts: rawFacts(source), untrusted: 'quarantined' }],
      file,
      { format: 'raw', compress: false, preallocation: 'off', direct: false, shared: false, ...limitOf(rate) },
      run.tool((fraction, ahead) => {
        run.progress({ doneBytes: scale(totalBytes, fraction, ahead), totalBytes, skippedBytes });
      }),
    );
    run.progress({ doneBytes: totalBytes, totalBytes, skippedBytes });
    // qemu's raw driver rounds up to 512.
    await file.truncate(source.lengthBytes);
  }
  await assertUnchanged([source], files);
  return source;
}

function limitOf(rate: Rate | undefined): { readonly bytesPerSecond?: bigint } {
  const bytesPerSecond = rate?.();
  return bytesPerSecond === undefined ? {} : { bytesPerSecond };
}

type HashRun = Pick<Run, 'phase' | 'signal' | 'progress'>;
type HashedFile = Parameters<Files['withBytes']>[0];

/** Fails with CHECKSUM_MISMATCH. */
export async function verifyFile(
  file: HashedFile,
  expected: ExpectedChecksum,
  what: string,
  run: HashRun,
  files: Files,
): Promise<void> {
  const computed = await digestOf(file, expected.algorithm, run, files);
  if (computed === expected.digest) return;
  throw new HostlerError(
    'CHECKSUM_MISMATCH',
    `${what} has the ${expected.algorithm} ${computed}, not ${expected.digest}`,
    { facts: { source: what, expected: expected.digest, computed } },
  );
}

/** SHA-256 of a file in hex, with progress of `run`. */
export function sha256OfFile(file: HashedFile, run: HashRun, files: Files): Promise<string> {
  return digestOf(file, 'sha256', run, files);
}

async function digestOf(
  file: HashedFile,
  algorithm: ExpectedChecksum['algorithm'],
  run: HashRun,
  files: Files,
): Promise<string> {
  run.phase('VERIFYING');
  const digest = new RunningDigest(algorithm);
  await files.withBytes(file, async (bytes) => {
    for (let at = 0n; at < bytes.lengthBytes;) {
      run.signal.throwIfAborted();
      const data = await bytes.read(at, READ_BYTES);
      if (data.length === 0) return;
      await digest.take({ data });
      at += BigInt(data.length);
      run.progress({ doneBytes: at, totalBytes: bytes.lengthBytes, skippedBytes: 0n });
    }
  });
  return digest.digest();
}
