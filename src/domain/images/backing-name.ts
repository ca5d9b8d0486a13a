/**
 * The meaning of a base's name in a header. The source of every rule is block.c of qemu:
 * `path_has_protocol`, `bdrv_make_absolute_filename`.
 */
import { posix } from 'node:path';
import * as z from 'zod';
import { dirname } from '../model/address.js';

/** qemu takes the text before the first colon for a protocol, unless a slash comes before it. */
const PROTOCOL = /^[^:/]*:/;
const FILE = 'file:';
const JSON_NAME = 'json:';

const absolute = z.string().startsWith('/');
/** Descriptions by which qemu, libvirt and backup tools mean nothing but an image in a file. */
const described = z.union([
  z.strictObject({ driver: z.string(), file: z.strictObject({ driver: z.literal('file'), filename: absolute }) }),
  z.strictObject({ driver: z.string(), 'file.driver': z.literal('file'), 'file.filename': absolute }),
]);

export interface NamedBase {
  /** Absolute, or relative to the image's folder. */
  readonly path: string;
  /** The driver that the name itself contains. */
  readonly driver?: string;
}

/**
 * The file that a name leads to: a path, `file:` with an absolute path, or `json:` with the
 * description of an image in a file. Undefined: it leads elsewhere, or qemu does not treat it as a
 * path.
 */
export function namedBase(name: string): NamedBase | undefined {
  if (!PROTOCOL.test(name)) return { path: name };
  if (name.startsWith(`${FILE}/`)) return { path: name.slice(FILE.length) };
  if (!name.startsWith(JSON_NAME)) return undefined;
  const { data } = described.safeParse(parseJson(name.slice(JSON_NAME.length)));
  if (data === undefined) return undefined;
  return { path: 'file' in data ? data.file.filename : data['file.filename'], driver: data.driver };
}

/** The absolute path that a name leads to; the unchanged name if it leads to none. */
export function basePath(name: string, image: { readonly storedName: string }): string {
  const base = namedBase(name);
  return base === undefined ? name : posix.resolve(dirname(image.storedName), base.path);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not a description
  }
}
