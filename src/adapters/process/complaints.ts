/**
 * Standard error of a tool whose exit code reports success. qemu-img 7.2 reports a table that it
 * could not write when it closes an image, but exits with 0: such text counts as a failure.
 */
import { StringDecoder } from 'node:string_decoder';
import { LastBytes } from './output.js';
import type { ToolCall } from './tool-call.js';

/** A sentence that a tool prints although it succeeded. */
interface Harmless {
  readonly tools: readonly string[];
  /** The first word of its command line; unset: any. */
  readonly verb?: string;
  readonly line: RegExp;
  /** Where the sentence comes from, in which version, and why it does no harm. */
  readonly source: string;
}

/** All sentences that are known to be harmless. Any other sentence is a complaint. */
export const HARMLESS: readonly Harmless[] = [
  {
    tools: ['qemu-img'],
    line: /^(?:Repairing|Rebuilding|Leaked cluster) /,
    source:
      'qemu 7.2, block/qcow2-refcount.c: a check, also the one by which an image with lazy refcounts is opened for ' +
      'writing, names each thing that it finds or mends; what it cannot mend is an ERROR, and changes the exit code',
  },
  {
    tools: ['qemu-img'],
    verb: 'check',
    line: /^(?:ERROR|Warning: cluster offset=)/,
    source:
      'qemu 7.2, block/qcow2-refcount.c: what is wrong with the image, which the answer has in its counts; a table that ' +
      'a repair cannot read or write is exit code 1',
  },
  {
    tools: ['qemu-img'],
    line: /^qemu: module block-block-dmg-\w+ not found, do you want to install [\w-]+ package\?$/,
    source:
      'qemu 7.2, util/module.c: what expands the rarer chunks of a dmg is no part of this build; a chunk that it cannot ' +
      'expand is an error when it is read, and one at the end makes the disk shorter, which is looked at',
  },
  {
    tools: ['qemu-img', 'rbd'],
    line: /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+(?:[^\s\d]\S*)? [0-9a-f]+ +-?\d+ /,
    source: 'Ceph 16.2, src/log/Log.cc: the log of its libraries; what concerns the call is in its exit code',
  },
  {
    tools: ['rbd'],
    line: /^[A-Za-z ]+: \d+% complete\.\.\.(?:done\.)?$/,
    source: 'Ceph 16.2, src/tools/rbd/Utils.cc: progress, as long as it does not end with `failed.`',
  },
  {
    tools: ['rsync'],
    line: /^(?!rsync\b|@ERROR|ERROR|WARNING|IO error|file has vanished|cannot )/,
    source: 'rsync 3.2, log.c: its own lines begin like that; all others are of ssh and of the far login',
  },
  {
    tools: ['rsync'],
    line: /^WARNING: .* failed verification -- update .* \(will try again\)\.$/,
    source: 'rsync 3.2, receiver.c: the file is sent once more, and a second failure changes the exit code',
  },
  {
    tools: ['*'],
    line: /^nice: cannot set niceness: /,
    source: 'coreutils 9.1, src/nice.c: the tool runs all the same, with the priority of the daemon',
  },
];

/**
 * Whether text on a tool's standard error counts as a failure: for a tool that writes something, or
 * whose silence is the answer.
 */
export function isJudged({ args, silent }: Pick<ToolCall, 'args' | 'silent'>): boolean {
  const writes = (piece: ToolCall['args'][number] | Exclude<ToolCall['args'][number], string>[number]) =>
    typeof piece === 'object' && 'write' in piece;
  return silent ?? args.some((arg) => typeof arg !== 'string' && arg.some(writes));
}

/** Lines of one call's standard error that are not known to be harmless. */
export class Complaints {
  readonly #decoder = new StringDecoder('utf8');
  readonly #kept: LastBytes;
  readonly #harmless: readonly RegExp[];
  #rest = '';

  /** @param limit how many bytes of the last complaints are kept */
  constructor({ tool, args: [verb] }: Pick<ToolCall, 'tool' | 'args'>, limit: number) {
    this.#kept = new LastBytes(limit);
    this.#harmless = HARMLESS.filter(
      (each) => ['*', tool].some((name) => each.tools.includes(name)) && (each.verb ?? verb) === verb,
    ).map(({ line }) => line);
  }

  add(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split(/[\r\n]/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#addUnlessHarmless(line);
  }

  /** All complaints; empty if there are none. Call it when the output has ended. */
  end(): string {
    this.#addUnlessHarmless(this.#rest + this.#decoder.end());
    this.#rest = '';
    return this.#kept.text;
  }

  #addUnlessHarmless(line: string): void {
    if (line.trim() !== '' && !this.#harmless.some((each) => each.test(line))) this.#kept.add(Buffer.from(`${line}\n`));
  }
}
