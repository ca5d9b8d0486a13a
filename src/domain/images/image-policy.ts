import { HostlerError } from '../model/errors.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { Chain } from '../ports/tools.js';
import { isPlanted } from '../model/planted-faults.js';

/**
 * Findings about references outside the image, unknown features, or structures that no program
 * creates: no tool may open such an image, trusted or not.
 */
const NEVER: readonly Finding['reason'][] = [
  'NAMES_OTHER_FILES',
  'EXTERNAL_DATA_FILE',
  'UNKNOWN_FEATURE',
  'METADATA_OVERLAPS',
];

/**
 * Findings that a sound image sometimes has but an untrusted one must not: it is broken, or two
 * programs would read it differently.
 */
const NEVER_UNTRUSTED: readonly Finding['reason'][] = [
  ...NEVER,
  'BACKING_FORMAT_MISSING',
  'SEVERAL_FORMATS',
  'LOG_PENDING',
  'TABLE_OUTSIDE_FILE',
  'TABLE_TOO_LARGE',
  'SIZE_BEYOND_FILE',
  'OBSOLETE_FORMAT',
];

/** Allows a tool to open a chain in place, or fails with IMAGE_UNSAFE and each finding. */
export function assertSafe(chain: Chain): void {
  for (const { file, facts, untrusted, extents } of chain) {
    if (untrusted === 'inPlace')
      throw unsafe(
        file.address,
        'it lies in an untrusted root, where others can change it: convert or copy it into a trusted one',
      );
    refuse(
      file.address,
      // The daemon has opened the files that the image names.
      facts.findings.filter(
        ({ reason }) => NEVER.includes(reason) && (reason !== 'NAMES_OTHER_FILES' || extents === undefined),
      ),
    );
  }
}

/** The configuration's limits for untrusted images. */
export interface ForeignRules {
  /** Tools run in a sandbox, or the operator has allowed untrusted images without one. */
  readonly allowed: boolean;
  /** Longer files are refused. */
  readonly maxBytes: bigint;
}

/**
 * Fails with SANDBOX_UNAVAILABLE if no untrusted image may be opened on this host, and with
 * IMAGE_TOO_LARGE.
 */
export function assertWithinForeignLimits(
  { address, lengthBytes }: { readonly address: string; readonly lengthBytes: bigint },
  { allowed, maxBytes }: ForeignRules,
): void {
  const facts = { path: address };
  if (!allowed)
    throw new HostlerError(
      'SANDBOX_UNAVAILABLE',
      `${address} is an untrusted image, and there is no sandbox for tools`,
      {
        facts,
      },
    );
  if (lengthBytes > maxBytes)
    throw new HostlerError(
      'IMAGE_TOO_LARGE',
      `${address} has ${String(lengthBytes)} bytes; limits.foreign.image_bytes allows ${String(maxBytes)}`,
      { facts: { ...facts, limit: 'limits.foreign.image_bytes', value: String(maxBytes) } },
    );
}

/** IMAGE_UNSAFE for an image; `why` follows a colon in the message. */
export function unsafe(path: string, why: string): HostlerError {
  return new HostlerError('IMAGE_UNSAFE', `${path}: ${why}`, { facts: { path } });
}

/**
 * Allows a tool to open an untrusted image in the sandbox; the facts are those of
 * `ImageReader.foreign`. Fails with IMAGE_UNSAFE and each finding.
 */
export function assertForeign(path: string, facts: ImageFacts): void {
  const { backingFile, findings } = facts;
  refuse(path, [
    ...(backingFile === undefined
      ? []
      : [{ reason: 'NAMES_OTHER_FILES', message: `it has the backing file ${backingFile}` } as const]),
    ...findings.filter(({ reason }) => NEVER_UNTRUSTED.includes(reason)),
  ]);
}

/**
 * Compares an untrusted image with its declared format: `raw` must not be a container; LUKS may be
 * either.
 */
export function foreignFormat(declared: ImageFormat, claims: readonly ImageFormat[]): ImageFormat {
  const containers = declared === 'raw' ? claims.filter((claim) => claim !== 'luks') : claims;
  return containers[0] ?? 'raw';
}

/** The tool's report on an untrusted image must agree with the daemon's own reader. */
export function assertToolAgrees(
  path: string,
  { format, virtualSizeBytes, luksVersion = 1, subformat }: ImageFacts,
  seen: { readonly format: string; readonly virtualSizeBytes: bigint },
): void {
  // qemu-img detects LUKS where raw bytes or a fixed VHD are expected, and does not know LUKS
  // version 2.
  const isBytes = format === 'raw' || (format === 'vpc' && subformat === 'fixed');
  const others: readonly string[] = isBytes ? ['luks'] : luksVersion > 1 ? ['raw'] : [];
  if (others.includes(seen.format)) return;
  if (seen.format !== format) throw formatMismatch(path, format, seen.format);
  if (seen.virtualSizeBytes === virtualSizeBytes) return;
  const message = `qemu-img takes it for a disk of ${String(seen.virtualSizeBytes)} bytes, its header says ${String(virtualSizeBytes)}`;
  refuse(path, [{ reason: 'SEVERAL_FORMATS', message }]);
}

/** `content` describes, with an article, content that is not an image. */
export function formatMismatch(path: string, declared: string, detected: string, content?: string): HostlerError {
  const is = content === undefined ? `its content says ${detected}` : `it is ${content}, and no disk image`;
  return new HostlerError('FORMAT_MISMATCH', `${path} is declared ${declared} but ${is}`, {
    facts: { path, declared, detected, ...(content === undefined ? {} : { content }) },
  });
}

function refuse(path: string, bad: readonly { readonly reason: string; readonly message: string }[]): void {
  if (bad.length === 0 || isPlanted('unsafe-image-opened')) return;
  throw new HostlerError('IMAGE_UNSAFE', `${path}: ${bad.map(({ message }) => message).join('; ')}`, {
    facts: { path, findings: [...new Set(bad.map(({ reason }) => reason))].join(' ') },
  });
}
