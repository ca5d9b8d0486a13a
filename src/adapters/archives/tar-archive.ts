import { HostlerError } from '../../domain/errors.js';
import type { Member } from '../../domain/fetch/ports.js';
import type { AddressedFile, ToolRun } from '../../domain/ports.js';
import type { Exit, ProcessRunner } from '../process.js';
import { toolReason } from '../system-errors/tool-words.js';
import { withoutStall, type Arg, type ToolCall, type ToolLimits } from '../tool-call.js';
import {
  assertName,
  brokenArchive,
  listingTooLong,
  MAX_LISTING_BYTES,
  MAX_MEMBERS,
  tooMany,
} from './broken-archive.js';

/** Names are what they are: no host before a colon, nothing left out, no patterns. */
const PLAINLY = ['--force-local', '--absolute-names'];
const LISTING = ['--list', '--verbose', '--numeric-owner', '--full-time', '--quoting-style=escape', ...PLAINLY];
const READING = ['--extract', '--to-stdout', '--no-recursion', '--no-wildcards', '--occurrence=1', ...PLAINLY];
/** Type and mode, owner, size, date, time, name; what comes before the name is shorter than this. */
const BEFORE_NAME = 200;
const LINE = /^-\S* \d+\/\d+ +(\d{1,19}) \S+ \S+ (.*)$/;
/** An octal number is the longest. */
const ESCAPE_BYTES = 4;
const ESCAPE = /\\(?:([0-7]{3})|(.))/g;
const ESCAPED: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** By GNU tar, in the sandbox: it knows every kind of tar, long names and sparse members. */
export class TarArchive {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async list(file: AddressedFile, run: ToolRun): Promise<readonly Member[]> {
    const members: Member[] = [];
    let [lines, bytes] = [0, 0];
    const call = this.#call([...LISTING, ['--file=', { read: file }]]);
    const exit = await this.runner.lines(call, run, (line) => {
      bytes += line.length;
      if (++lines > MAX_MEMBERS) throw tooMany(file);
      if (bytes > MAX_LISTING_BYTES) throw listingTooLong(file);
      assertName(file, (line.length - BEFORE_NAME) / ESCAPE_BYTES);
      const member = memberOf(line, file);
      if (member !== undefined) members.push(member);
    });
    assertRead(file, exit);
    return members;
  }

  async read(
    file: AddressedFile,
    { name, sizeBytes }: Member,
    take: (piece: Uint8Array) => Promise<void>,
    run: ToolRun,
  ): Promise<void> {
    let taken = 0n;
    const call = this.#call([...READING, ['--file=', { read: file }], '--', name]);
    const exit = await this.runner.pieces(call, run, async (stream, piece) => {
      if (stream !== 'stdout') return;
      taken += BigInt(piece.length);
      await take(piece);
    });
    assertRead(file, exit);
    if (taken !== sizeBytes) throw brokenArchive(file, `${name} has ${String(taken)} bytes, not ${String(sizeBytes)}`);
  }

  #call(args: readonly Arg[]): ToolCall {
    return { tool: 'tar', args, limits: withoutStall(this.limits), foreign: true };
  }
}

function assertRead(file: AddressedFile, { code, stderr }: Exit): void {
  if (code === 0) return;
  const reason = toolReason(stderr);
  if (reason === undefined) throw brokenArchive(file, stderr.trim());
  throw new HostlerError(reason, `${file.address}: ${stderr.trim()}`, { facts: { path: file.address, stderr } });
}

/** Undefined for what is no regular file, and for a name that is no UTF-8: it cannot be asked for. */
function memberOf(line: string, file: AddressedFile): Member | undefined {
  const match = LINE.exec(line);
  if (match === null) return undefined;
  const [, size = '', escaped = ''] = match;
  const bytes = Buffer.from(unescape(escaped), 'latin1');
  assertName(file, bytes.length);
  const name = bytes.toString('utf8');
  return Buffer.from(name).equals(bytes) ? { name, sizeBytes: BigInt(size) } : undefined;
}

function unescape(text: string): string {
  return text.replaceAll(ESCAPE, (_, octal: string | undefined, letter = '') =>
    octal === undefined ? (ESCAPED[String(letter)] ?? String(letter)) : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
