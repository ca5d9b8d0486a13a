import {
  BLOCK_BYTES,
  BlockDigests,
  blockRanges,
  type BlockRange,
  type DataExtent,
} from '../../domain/model/block-digest.js';
import type { SshHost } from '../../domain/copy/remote.js';
import { inTurns } from '../../domain/model/async.js';
import { digestScript } from './far-nbd-scripts.js';
import { scriptError } from './far-shell.js';
import type { ProcessRunner } from '../process/process.js';
import { farCommand, sshWords } from './ssh.js';
import type { SshConfig } from '../config/transfer-config.js';
import type { ToolRun } from '../../domain/ports/tools.js';

interface FarDigester {
  readonly runner: ProcessRunner;
  readonly config: SshConfig;
  readonly host: SshHost;
  /** Time limit without output; the script prints a line for each block. */
  readonly silenceMs: number;
}

/**
 * The block digest of a file on a remote host, which hashes the data there and sends only the
 * digests.
 */
export async function farDigest(
  { runner, config, host, silenceMs }: FarDigester,
  { path, lengthBytes }: { readonly path: string; readonly lengthBytes: bigint },
  extents: AsyncIterable<DataExtent> | Iterable<DataExtent>,
  run: ToolRun,
): Promise<string> {
  const runs: BlockRange[] = [];
  for await (const each of blockRanges(extents, lengthBytes)) runs.push(each);
  const numbers = runs.flatMap(({ zero, first, count }) =>
    zero ? [] : Array.from({ length: count }, (_, index) => `${blockLine(first + index, lengthBytes)}\n`),
  );
  const [tool = 'ssh', ...words] = sshWords(config, host);
  const args = [...words, '--', host.host, farCommand(`export LC_ALL=C; ${digestScript(path)}`)];
  const limits = { stallMs: silenceMs };
  const call = { tool, args, trusted: true, limits, stdin: Buffer.from(numbers.join('')) };
  const { code, stdout, stderr } = await runner.run(call, run);
  if (code !== 0) throw scriptError(host, path, { code, stderr });
  const digests = [...stdout.matchAll(/^([0-9a-f]{64}) /gm)].map(([, digest = '']) => digest);
  const all = new BlockDigests();
  let next = 0;
  for (const { zero, count } of runs) {
    if (zero) await inTurns(all.appendZeros(count), run.signal);
    else all.append(Buffer.from(digests.slice(next, (next += count)).join(''), 'hex'));
  }
  return all.digest();
}

/**
 * The number and length of a block; the last one ends at the expected length, whatever follows in
 * the file.
 */
function blockLine(block: number, lengthBytes: bigint): string {
  const left = lengthBytes - BigInt(block) * BigInt(BLOCK_BYTES);
  return `${String(block)} ${String(left < BigInt(BLOCK_BYTES) ? left : BLOCK_BYTES)}`;
}
