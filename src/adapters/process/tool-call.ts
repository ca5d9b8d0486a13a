import type { Readable } from 'node:stream';
import type { ImageAddress } from '../../domain/model/address.js';
import type { FileRef, Handle } from '../../domain/ports/handles.js';

/**
 * Part of a word: a text, the path of a file that the tool opens, or the path of a file with a
 * generated text.
 */
export type ArgumentPart = string | Reference | Text;
/** A word of the command line, or several parts that are joined to one word. */
export type Arg = string | readonly ArgumentPart[];

/** A file with generated text for the tool. */
export interface Text {
  readonly text: readonly ArgumentPart[];
  /** Its name in messages. */
  readonly address: ImageAddress;
}

/**
 * Something the tool opens: a file to read or write, by handle, or a secret on an inherited
 * descriptor. `descriptor` stands for the number of an inherited descriptor itself. A secret with
 * `within` is a folder in which it has that name; content that is not secret but stands for a file
 * has the `address` of that file. `cluster` is the configuration of a cluster; a tool that is given
 * one also gets the network.
 */
export type Reference =
  | { readonly read: FileRef }
  | { readonly write: FileRef }
  | { readonly secret: Uint8Array; readonly within?: string; readonly address?: ImageAddress }
  | { readonly cluster: Uint8Array }
  | { readonly descriptor: Handle };

/** Limits of one child; unset: none. */
export interface ToolLimits {
  readonly cpuSeconds?: number;
  readonly addressSpaceBytes?: bigint;
  /** The maximum length of files that it writes. */
  readonly fileBytes?: bigint;
  readonly wallMs?: number;
  /** A tool that prints nothing for this time is ended. */
  readonly stallMs?: number;
}

/** The limits for a tool that shows no progress: its silence is not a stall. */
export function withoutStall(limits: ToolLimits): ToolLimits {
  return Object.fromEntries(Object.entries(limits).filter(([name]) => name !== 'stallMs'));
}

/** The smaller value of each limit. */
export function tighter(one: ToolLimits, other: ToolLimits): ToolLimits {
  const least = <T extends number | bigint>(a: T | undefined, b: T | undefined) =>
    a === undefined || b === undefined ? (a ?? b) : a < b ? a : b;
  const [cpuSeconds, wallMs, stallMs] = [
    least(one.cpuSeconds, other.cpuSeconds),
    least(one.wallMs, other.wallMs),
    least(one.stallMs, other.stallMs),
  ];
  const addressSpaceBytes = least(one.addressSpaceBytes, other.addressSpaceBytes);
  const fileBytes = least(one.fileBytes, other.fileBytes);
  return {
    ...(cpuSeconds === undefined ? {} : { cpuSeconds }),
    ...(addressSpaceBytes === undefined ? {} : { addressSpaceBytes }),
    ...(fileBytes === undefined ? {} : { fileBytes }),
    ...(wallMs === undefined ? {} : { wallMs }),
    ...(stallMs === undefined ? {} : { stallMs }),
  };
}

/** One run of a tool. It may read and write only its references. */
export interface ToolCall {
  readonly tool: string;
  readonly args: readonly Arg[];
  /**
   * The tool reads nothing that a guest or an untrusted user wrote, and runs outside the sandbox.
   */
  readonly trusted?: boolean;
  /**
   * The tool opens an untrusted image: if the configuration requires a sandbox, it never runs
   * without.
   */
  readonly foreign?: boolean;
  /** Exit codes that are valid answers; unset: 0. */
  readonly answers?: readonly number[];
  /**
   * Whether text on standard error is a failure, whatever the exit code says; unset: only if the
   * tool writes a file. See `process/complaints.ts`.
   */
  readonly silent?: boolean;
  /** The tool connects to other hosts; the sandbox gives it the network, and nothing else. */
  readonly network?: boolean;
  readonly limits: ToolLimits;
  /** Its standard input; unset: none. */
  readonly stdin?: Uint8Array | Readable;
  /** The user that it runs as, with that user's groups; unset: the user of the daemon. */
  readonly as?: { readonly uid: number; readonly gid: number };
  /** Variables in addition to PATH and LC_ALL, for a tool that needs them. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Command line and descriptors: reference i becomes descriptor 3 + i of the child. */
export interface PlainCall {
  readonly args: readonly string[];
  readonly references: readonly Reference[];
}

/** The child's first descriptor after stdin, stdout and stderr. */
export const FIRST_FD = 3;

/**
 * Turns references into plain paths by `pathOf`. Each reference gets a descriptor, in order; a
 * repeated one keeps its descriptor.
 */
export function plainCall({ args }: ToolCall, pathOf: (reference: Reference, fd: number) => string): PlainCall {
  const references: Reference[] = [];
  const texts = new Map<Text, Reference>();
  const word = (reference: Reference): string => {
    const known = references.indexOf(reference);
    return pathOf(reference, FIRST_FD + (known === -1 ? references.push(reference) - 1 : known));
  };
  const file = (piece: Text): Reference => {
    const made = texts.get(piece) ?? { secret: Buffer.from(joined(piece.text)), address: piece.address };
    texts.set(piece, made);
    return made;
  };
  const joined = (pieces: readonly ArgumentPart[]): string =>
    pieces.map((piece) => (typeof piece === 'string' ? piece : word('text' in piece ? file(piece) : piece))).join('');
  return { args: args.map((arg) => (typeof arg === 'string' ? arg : joined(arg))), references };
}

/** The path of an inherited descriptor for a child outside the sandbox. */
export function pathOutside(reference: Reference, fd: number): string {
  if ('descriptor' in reference) return String(fd);
  const name = isContent(reference) ? undefined : fileOf(reference).name;
  return `/proc/self/fd/${String(fd)}${name === undefined ? '' : `/${name}`}`;
}

type Content = Extract<Reference, { readonly secret: Uint8Array } | { readonly cluster: Uint8Array }>;

/** Whether a reference holds content itself, instead of naming a file. */
export function isContent(reference: Reference): reference is Content {
  return 'secret' in reference || 'cluster' in reference;
}

/** The bytes that the tool reads from a reference to content. */
export function contentOf(reference: Content): Uint8Array {
  return 'secret' in reference ? reference.secret : reference.cluster;
}

/** The file of a reference, whether it is read or written. */
export function fileOf(reference: { readonly read: FileRef } | { readonly write: FileRef }): FileRef {
  return 'read' in reference ? reference.read : reference.write;
}

/** Our descriptor that a reference inherits; content gets its descriptor when the child starts. */
export function descriptorOf(reference: Exclude<Reference, Content>): number {
  return 'descriptor' in reference ? reference.descriptor.fd : fileOf(reference).handle.fd;
}
