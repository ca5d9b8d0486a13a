import { HostlerError } from '../../domain/errors.js';
import type { Member } from '../../domain/fetch/ports.js';
import type { AddressedFile, ToolRun } from '../../domain/ports.js';
import type { ProcessRunner } from '../process.js';
import { toolReason } from '../system-errors/tool-words.js';
import { withoutStall, type Arg, type ToolLimits } from '../tool-call.js';
import { brokenArchive, MAX_MEMBERS, tooMany } from './broken-archive.js';

/** Ten thousand names of 100 bytes. */
const MAX_LISTING_BYTES = 2 << 20;
/** Names are what they are: no host before a colon, nothing left out, no patterns. */
const PLAINLY = ['--force-local', '--absolute-names'];
const LISTING = ['--list', '--verbose', '--numeric-owner', '--full-time', '--quoting-style=escape', ...PLAINLY];
const READING = ['--extract', '--to-stdout', '--no-recursion', '--no-wildcards', '--occurrence=1', ...PLAINLY];
/** Type and mode, owner, size, date, time, name. */
const LINE = /^-\S* \d+\/\d+ +(\d{1,19}) \S+ \S+ (.*)$/;
const ESCAPE = /\\(?:([0-7]{3})|(.))/g;
const ESCAPED: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** By GNU tar, in the sandbox: it knows every kind of tar, long names and sparse members. */
export class TarArchive {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly limits: ToolLimits,
  ) {}

  async list(file: AddressedFile, run: ToolRun): Promise<readonly Member[]> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    await this.#run(file, [...LISTING, ['--file=', { read: file }]], run, (piece) => {
      bytes += piece.length;
      if (bytes > MAX_LISTING_BYTES) throw tooMany(file);
      pieces.push(piece);
      return Promise.resolve();
    });
    const members = parseListing(Buffer.concat(pieces).toString('latin1'));
    if (members.length > MAX_MEMBERS) throw tooMany(file);
    return members;
  }

  async read(
    file: AddressedFile,
    { name, sizeBytes }: Member,
    take: (piece: Uint8Array) => Promise<void>,
    run: ToolRun,
  ): Promise<void> {
    let taken = 0n;
    await this.#run(file, [...READING, ['--file=', { read: file }], '--', name], run, async (piece) => {
      taken += BigInt(piece.length);
      await take(piece);
    });
    if (taken !== sizeBytes) throw brokenArchive(file, `${name} has ${String(taken)} bytes, not ${String(sizeBytes)}`);
  }

  async #run(
    file: AddressedFile,
    args: readonly Arg[],
    run: ToolRun,
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const { code, stderr } = await this.runner.pieces(
      { tool: 'tar', args, limits: withoutStall(this.limits), foreign: true },
      run,
      (stream, piece) => (stream === 'stdout' ? take(piece) : Promise.resolve()),
    );
    if (code === 0) return;
    const reason = toolReason(stderr);
    if (reason === undefined) throw brokenArchive(file, stderr.trim());
    throw new HostlerError(reason, `${file.address}: ${stderr.trim()}`, { facts: { path: file.address, stderr } });
  }
}

/** The regular files of a listing. A name that is no UTF-8 cannot be asked for, and is not there. */
export function parseListing(text: string): Member[] {
  return text.split('\n').flatMap((line) => {
    const match = LINE.exec(line);
    if (match === null) return [];
    const [, size = '', escaped = ''] = match;
    const bytes = Buffer.from(unescape(escaped), 'latin1');
    const name = bytes.toString('utf8');
    return Buffer.from(name).equals(bytes) ? [{ name, sizeBytes: BigInt(size) }] : [];
  });
}

function unescape(text: string): string {
  return text.replaceAll(ESCAPE, (_, octal: string | undefined, letter = '') =>
    octal === undefined ? (ESCAPED[String(letter)] ?? String(letter)) : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
