/**
 * Every path that a name in a header could lead to, for callers that must not miss one: a removal
 * must not remove such a file. More general than `namedBase`: qemu follows descriptions with any
 * options, nested ones, and protocols before a path. The source of the rules is block.c of qemu
 * (`path_has_protocol`, `parse_json_filename`) and qobject/json-lexer.c, which also accepts single
 * quotes.
 */
import { namedBase } from './backing-name.js';

const PROTOCOL = /^[^:/]*:/;
const JSON_NAME = 'json:';
const TEXTS = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/gsu;
const ESCAPE = /\\(?:u([0-9a-f]{4})|(.))/gisu;
const ESCAPED = new Map(Object.entries({ b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }));
/** The last part of the keys in a description whose values are paths. */
const PATH_KEY = /(?:^|\.)(?:filename|path|dir)$/u;

/** Each is absolute, or relative to the image's folder. */
export function pathsIn(name: string): readonly string[] {
  const known = namedBase(name);
  if (known !== undefined) return [known.path];
  if (!name.startsWith(JSON_NAME)) return [name, ...afterColons(name)];
  const found: string[] = [];
  let key = '';
  for (const text of name.slice(JSON_NAME.length).matchAll(TEXTS)) {
    const [whole, double, single] = text;
    const value = unescaped(double ?? single ?? '');
    const isKey = name
      .slice(JSON_NAME.length + text.index + whole.length)
      .trimStart()
      .startsWith(':');
    if (isKey) key = value;
    // A nested name is shorter than the name around it, so this ends.
    else if (PROTOCOL.test(value)) found.push(...pathsIn(value));
    else if (value.startsWith('/') || PATH_KEY.test(key)) found.push(value);
  }
  return found;
}

/** The text after each protocol, as in `blkdebug:rules:/path` and `fat:rw:/path`. */
function afterColons(name: string): string[] {
  return [...name.matchAll(/:/gu)].map(({ index }) => name.slice(index + 1)).filter((rest) => rest !== '');
}

function unescaped(text: string): string {
  return text.replaceAll(ESCAPE, (_, code: string | undefined, char: string | undefined) =>
    code === undefined ? (ESCAPED.get(char ?? '') ?? char ?? '') : String.fromCharCode(Number.parseInt(code, 16)),
  );
}
