/** A thread that hashes blocks of an open file; `block-hasher.ts` starts it. */
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { BLOCK_BYTES, sha256 } from '../../domain/model/block-digest.js';
import { errnoOf } from '../linux/errno.js';

export interface HashJob {
  readonly fd: number;
  readonly offset: bigint;
  readonly length: number;
}

export type HashAnswer =
  { readonly digests: Uint8Array } | { readonly code: string | undefined; readonly text: string };

const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);

function hash({ fd, offset, length }: HashJob): Uint8Array {
  const digests: Buffer[] = [];
  for (let done = 0; done < length; done += BLOCK_BYTES) {
    const wanted = Math.min(BLOCK_BYTES, length - done);
    let filled = 0;
    while (filled < wanted) {
      const read = readSync(fd, block, filled, wanted - filled, offset + BigInt(done + filled));
      // The file became shorter. The caller notices that by the file's fingerprint.
      if (read === 0) block.fill(0, filled, wanted);
      filled = read === 0 ? wanted : filled + read;
    }
    digests.push(sha256(block.subarray(0, wanted)));
  }
  return Buffer.concat(digests);
}

const port = parentPort;
const say = (answer: HashAnswer) => port?.postMessage(answer);
port?.on('message', (job: HashJob) => {
  try {
    say({ digests: hash(job) });
  } catch (error) {
    say({ code: errnoOf(error), text: String(error) });
  }
});
