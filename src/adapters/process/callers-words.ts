/** A tool's output with the paths that the tool saw replaced by the addresses that callers know. */
import { FIRST_FD, fileOf, isContent, plainCall, type PlainCall, type Reference, type ToolCall } from './tool-call.js';

/** Replaces content that a tool reads from a descriptor. */
const HIDDEN = '[hidden]';
/** Length limit for all arguments in one log line, and for a tool's output. */
const MAX_CHARACTERS = 1000;
const MAX_LINES = 5;

/** qemu repeats the description by which it opened an image, in its own normal form. */
const DESCRIPTION = /json:\{[^\n]*\}/g;

/**
 * Replaces the paths of descriptors in a tool's output by the addresses that the caller gave.
 * `pathOf` returns the path at which the tool saw a reference.
 */
export function inCallersWords(
  text: string,
  { args, references }: PlainCall,
  pathOf: (reference: Reference, fd: number) => string,
): string {
  const names = references.flatMap((reference, at) => {
    const name = nameOf(reference);
    return name === undefined ? [] : [{ path: pathOf(reference, FIRST_FD + at), name }];
  });
  let shown = text;
  // The last file of a description is the image itself: it comes after its backing files.
  for (const arg of args.filter((each) => each.startsWith('json:')))
    shown = shown.replaceAll(arg, names.findLast(({ path }) => arg.includes(`"${path}"`))?.name ?? 'the image');
  shown = shown.replaceAll(DESCRIPTION, 'an image');
  // Longer paths first: one path can be a prefix of another.
  for (const { path, name } of names.toSorted((a, b) => b.path.length - a.path.length))
    shown = shown.replaceAll(path, name);
  return shown;
}

/**
 * The arguments of a tool for the log: with the addresses that the caller gave, and without
 * secrets. Arguments beyond the limit are only counted.
 */
export function shownArguments(call: ToolCall): readonly string[] {
  const { args } = plainCall(call, (reference) => nameOf(reference) ?? HIDDEN);
  const shown: string[] = [];
  let room = MAX_CHARACTERS;
  for (const arg of args) {
    if (room <= 0) return [...shown, `… (${String(args.length - shown.length)} more)`];
    shown.push(arg.length <= room ? arg : `${arg.slice(0, room)}…`);
    room -= arg.length;
  }
  return shown;
}

/** The end of a tool's output, for a log line. */
export function lastLines(text: string): string {
  return text.split('\n').slice(-MAX_LINES).join('\n').slice(-MAX_CHARACTERS);
}

function nameOf(reference: Reference): string | undefined {
  if ('secret' in reference) return reference.address;
  if (isContent(reference) || 'descriptor' in reference) return undefined;
  return fileOf(reference).address;
}
