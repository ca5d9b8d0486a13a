import { HostlerError } from '../../domain/model/errors.js';
import type { ArchiveMember } from '../../domain/ports/sources.js';
import type { Exit, ProcessRunner } from '../process/process.js';
import { toolReason } from '../linux/tool-words.js';
import { withoutStall, type Arg, type ToolCall, type ToolLimits } from '../process/tool-call.js';
import {
  assertName,
  brokenArchive,
  listingTooLong,
  MAX_LISTING_BYTES,
  MAX_MEMBERS,
  tooMany,
} from './broken-archive.js';
import type { AddressedFile } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Take names literally: no host before a colon, no removed prefixes, no patterns. */
const PLAINLY = ['--force-local', '--absolute-names'];
const LISTING = ['--list', '--verbose', '--numeric-owner', '--full-time', '--quoting-style=escape', ...PLAINLY];
const READING = ['--extract', '--to-stdout', '--no-recursion', '--no-wildcards', '--occurrence=1', ...PLAINLY];
/**
 * A line has type and mode, owner, size, date, time and name; everything before the name is shorter
 * than this.
 */
const BEFORE_NAME = 200;
const LINE = /^([-Ch])\S* \d+\/\d+ +(\d{1,19}) \S+ \S+ (.*)$/;
/** Separates the name of a hard link from that of its file; either name may contain it too. */
const LINK_TO = ' link to ';
/** The longest escape, an octal number. */
const ESCAPE_BYTES = 4;
const ESCAPE = /\\(?:([0-7]{3})|(.))/g;
const ESCAPED: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Reads tar files with GNU tar, in the sandbox: it knows every variant of tar, long names and
 * sparse members.
 */
export class TarArchive {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async list(file: AddressedFile, tool: ToolRun): Promise<readonly ArchiveMember[]> {
    const members = new Map<string, ArchiveMember>();
    const all: ArchiveMember[] = [];
    let [lines, bytes] = [0, 0];
    const call = this.#call([...LISTING, ['--file=', { read: file }]]);
    const exit = await this.runner.lines(call, tool, (line) => {
      bytes += line.length;
      if (++lines > MAX_MEMBERS) throw tooMany(file);
      if (bytes > MAX_LISTING_BYTES) throw listingTooLong(file);
      assertName(file, (line.length - BEFORE_NAME) / ESCAPE_BYTES);
      const member = memberOf(line, file, members);
      if (member === undefined) return;
      all.push(member);
      members.set(member.name, member);
    });
    assertRead(file, exit);
    return all;
  }

  async read(
    file: AddressedFile,
    { name, sizeBytes, linkTo = name }: ArchiveMember,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<void> {
    let taken = 0n;
    const call = this.#call([...READING, ['--file=', { read: file }], '--', linkTo]);
    const exit = await this.runner.pieces(call, tool, async (stream, piece) => {
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

/**
 * Undefined if the member is not a regular file, or its name is not UTF-8, so that it cannot be
 * requested. A hard link counts as the file that it leads to.
 */
function memberOf(
  line: string,
  file: AddressedFile,
  before: ReadonlyMap<string, ArchiveMember>,
): ArchiveMember | undefined {
  const [, type, size, escaped] = LINE.exec(line) ?? [];
  if (size === undefined || escaped === undefined) return undefined;
  if (type === 'h') return linkOf(escaped, before);
  const name = nameOf(escaped, file);
  return name === undefined ? undefined : { name, sizeBytes: BigInt(size) };
}

function nameOf(escaped: string, file: AddressedFile): string | undefined {
  const bytes = Buffer.from(unescape(escaped), 'latin1');
  assertName(file, bytes.length);
  const name = bytes.toString('utf8');
  return Buffer.from(name).equals(bytes) ? name : undefined;
}

/** Undefined if the file is not in the archive, or could be one of several. */
function linkOf(escaped: string, before: ReadonlyMap<string, ArchiveMember>): ArchiveMember | undefined {
  const parts = unescape(escaped).split(LINK_TO).map(utf8Of);
  const found = parts.flatMap((_, at) => {
    const target = at === 0 ? undefined : before.get(parts.slice(at).join(LINK_TO));
    return target === undefined ? [] : [{ name: parts.slice(0, at).join(LINK_TO), target }];
  });
  const [only] = found;
  if (only === undefined || found.length > 1) return undefined;
  const { name, sizeBytes, linkTo = name } = only.target;
  return { name: only.name, sizeBytes, linkTo };
}

function utf8Of(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}

function unescape(text: string): string {
  return text.replaceAll(ESCAPE, (_, octal: string | undefined, letter = '') =>
    octal === undefined ? (ESCAPED[String(letter)] ?? String(letter)) : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
