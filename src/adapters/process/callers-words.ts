/**
 * What a tool prints, with the names that callers know in the place of the paths at which the tool
 * found its files.
 */
import { FIRST_FD, fileOf, isContent, plainCall, type PlainCall, type Reference, type ToolCall } from './tool-call.js';

/** In the place of what a tool reads from a descriptor of its own. */
const HIDDEN = '[hidden]';
/** Of all arguments of a line of the log, and of what a tool said. */
const MAX_CHARACTERS = 1000;
const MAX_LINES = 5;

/** qemu repeats the description by which it opened an image, in the form that it made of it. */
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
  // The last file of a description is the image itself; it stands above what it is backed by.
  for (const arg of args.filter((each) => each.startsWith('json:')))
    shown = shown.replaceAll(arg, names.findLast(({ path }) => arg.includes(`"${path}"`))?.name ?? 'the image');
  shown = shown.replaceAll(DESCRIPTION, 'an image');
  // Longer ones first: a path can begin like another one.
  for (const { path, name } of names.toSorted((a, b) => b.path.length - a.path.length))
    shown = shown.replaceAll(path, name);
  return shown;
}

/**
 * The arguments of a tool as the log has them: with the addresses that the caller gave, and without
 * secrets. Those that are too many are counted.
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

/** The end of what a tool said, for a line of the log. */
export function lastLines(text: string): string {
  return text.split('\n').slice(-MAX_LINES).join('\n').slice(-MAX_CHARACTERS);
}

function nameOf(reference: Reference): string | undefined {
  if ('secret' in reference) return reference.address;
  if (isContent(reference) || 'descriptor' in reference) return undefined;
  return fileOf(reference).address;
}
