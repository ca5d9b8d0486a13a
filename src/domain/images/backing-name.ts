/**
 * What the name of a base in a header means. The source of every rule is block.c of qemu:
 * `path_has_protocol`, `bdrv_make_absolute_filename`.
 */
import { posix } from 'node:path';
import * as z from 'zod';
import { dirname } from '../model/address.js';

/** qemu takes what stands before the first colon for a protocol, unless a slash comes before it. */
const PROTOCOL = /^[^:/]*:/;
const FILE = 'file:';
const JSON_NAME = 'json:';

const absolute = z.string().startsWith('/');
/** How qemu, libvirt and backup tools describe nothing but an image in a file. */
const described = z.union([
  z.strictObject({ driver: z.string(), file: z.strictObject({ driver: z.literal('file'), filename: absolute }) }),
  z.strictObject({ driver: z.string(), 'file.driver': z.literal('file'), 'file.filename': absolute }),
]);

export interface NamedBase {
  /** Absolute, or relative to where the image lies. */
  readonly path: string;
  /** The driver that the name itself says. */
  readonly driver?: string;
}

/**
 * The file that a name leads to: a path, `file:` and an absolute path, or `json:` and the
 * description of an image in a file. Undefined: it leads elsewhere, or is no path to qemu, which
 * does not look for a file then.
 */
export function namedBase(name: string): NamedBase | undefined {
  if (!PROTOCOL.test(name)) return { path: name };
  if (name.startsWith(`${FILE}/`)) return { path: name.slice(FILE.length) };
  if (!name.startsWith(JSON_NAME)) return undefined;
  const { data } = described.safeParse(parseJson(name.slice(JSON_NAME.length)));
  if (data === undefined) return undefined;
  return { path: 'file' in data ? data.file.filename : data['file.filename'], driver: data.driver };
}

/** The absolute path that a name leads to, and the name itself where it leads to none. */
export function basePath(name: string, image: { readonly storedName: string }): string {
  const base = namedBase(name);
  return base === undefined ? name : posix.resolve(dirname(image.storedName), base.path);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // then it is no description
  }
}
