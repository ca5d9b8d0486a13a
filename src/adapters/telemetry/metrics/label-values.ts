/** The values that labels can have, so that each series exists at 0 before anything happens. */
import { REASONS, isReason, type Reason } from '../../../domain/model/reasons/reasons.js';
import { CODES, type Code } from '../../../domain/model/reasons/reason-row.js';
import type { OperationResult } from '../../../domain/operations/results.js';
import type { Slot } from '../../../domain/operations/resources/slots.js';

const COPIES = ['REFLINK', 'LOCAL_SPARSE', 'NBD_TLS', 'NBD_SSH', 'RSYNC_SSH', 'RBD_DEEP_COPY'] as const;
const FETCHES = ['download', 'cache'] as const;
const NONE = ['none'] as const;

/** Each verb, and the ways in which it can succeed. */
export const ENGINES_OF_VERBS = {
  CheckImage: NONE,
  Chown: NONE,
  ChownForIdMaps: NONE,
  CommitImage: ['commit', 'unchanged'],
  CompareImages: NONE,
  ConvertImage: ['convert'],
  CopyImage: COPIES,
  CreateDirectory: NONE,
  CreateImage: ['create'],
  CreateOverlay: ['overlay'],
  CreateSnapshot: NONE,
  DeleteFile: NONE,
  DeleteImage: NONE,
  DeleteSnapshot: NONE,
  DigestImage: NONE,
  EvictCachedImages: NONE,
  Execute: NONE,
  ExtractSnapshot: ['convert'],
  FetchImage: FETCHES,
  FetchRawImage: FETCHES,
  FillBase: FETCHES,
  FillCache: FETCHES,
  MoveFile: NONE,
  OpenExport: NONE,
  PinCachedImage: NONE,
  PrefetchImage: FETCHES,
  RebaseImage: ['rebase', 'flatten', 'rename-base', 'unchanged'],
  RemoveDirectory: NONE,
  ResizeImage: ['resize', 'unchanged'],
  RevertSnapshot: NONE,
  TouchFile: NONE,
  UploadImage: ['upload'],
  WipeImage: ['zero', 'discard'],
  WriteFile: NONE,
} as const satisfies Record<string, readonly string[]>;

export const ENGINES: readonly string[] = [...new Set([...Object.values(ENGINES_OF_VERBS).flat(), 'other'])];
export const RESULTS: readonly (Code | 'OK')[] = ['OK', ...CODES];
export const REASON_NAMES: readonly string[] = Object.keys(REASONS);
export const SLOTS = ['io', 'none', 'open', 'upload', 'export', 'plan'] as const satisfies readonly Slot[];
export const EVENTS = ['hit', 'miss'] as const;
export const OUTCOMES = ['succeeded', 'failed', 'ended'] as const;

/** By these the daemon denies a call; others of the same code come from the system or a server. */
export const DENIAL_REASONS = [
  'NOT_AUTHENTICATED',
  'METHOD_NOT_ALLOWED',
  'PATH_OUTSIDE_ROOTS',
  'ROOT_READ_ONLY',
] as const satisfies readonly Reason[];

/** Programs that the daemon starts, beside configured commands. */
export const TOOLS = [
  ...['qemu-img', 'qemu-nbd', 'rbd', 'ceph', 'rsync', 'ssh', 'cp', 'mv', 'flock', 'fallocate', 'blkdiscard'],
  ...['tar', 'gzip', 'bzip2', 'xz', 'zstd', 'getent', 'virsh', 'systemd-notify', 'test', 'bwrap', 'setpriv', 'prlimit'],
  ...['command', 'other'],
] as const;

/** Why a connection was refused, as a label. */
export const REFUSAL_KINDS = [
  'not_authenticated',
  'too_many',
  'too_many_of_the_caller',
  'too_many_half_open',
  'silent',
  'idle_to_make_room',
] as const;

/** A word for a label, of words for a person. */
export function labelOf(words: string): string {
  return words.replaceAll(/[^A-Za-z0-9]+/g, '_');
}

/** Whether the daemon denied the call itself. */
export function isDenial(reason: string): boolean {
  return DENIAL_REASONS.some((denial) => denial === reason);
}

/** A reason that only another version knows is UNKNOWN_REASON: the label has an end. */
export function reasonLabel(reason: string): Reason {
  return isReason(reason) ? reason : 'UNKNOWN_REASON';
}

/** The gRPC code of a reason. */
export function codeOf(reason: string): Code {
  return REASONS[reasonLabel(reason)].code;
}

/** A program as a label: configured commands are known by their absolute paths. */
export function toolLabel(tool: string): string {
  if (TOOLS.some((known) => known === tool)) return tool;
  return tool.startsWith('/') ? 'command' : 'other';
}

/** How an operation was done. */
export function engineOf(result: OperationResult | undefined): string {
  const engine = engineNamed(result);
  return ENGINES.includes(engine) ? engine : 'other';
}

function engineNamed(result: OperationResult | undefined): string {
  if (result?.kind === 'copy') return result.engine;
  if (result?.kind === 'image') return result.method;
  if (result?.kind === 'fetch') return result.fromCache ? 'cache' : 'download';
  return 'none';
}

/** What moved, and what did not need to; undefined where bytes are not what it is about. */
export function bytesOf(result: OperationResult): { readonly moved: bigint; readonly skipped: bigint } | undefined {
  if (result.kind === 'copy' || result.kind === 'image')
    return { moved: result.movedBytes, skipped: result.skippedBytes };
  if (result.kind === 'fetch') return { moved: result.networkBytes, skipped: 0n };
  return undefined;
}
