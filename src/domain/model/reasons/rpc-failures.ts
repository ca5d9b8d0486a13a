import { fails, type Failures } from './groups.js';

/**
 * What each RPC fails with beside `every call`, by its short name. The comments of proto/ say the
 * same: a test compares them, and at the end of a run of all tests each reason must have come.
 */
export const RPC_FAILURES: Readonly<Record<string, Failures>> = {
  Execute: fails(
    ['an operation', 'running a tool'],
    ['COMMAND_NOT_FOUND', 'ARGUMENT_NOT_ALLOWED', 'TOOL_LIMIT_EXCEEDED'],
  ),
  Chown: fails(['an operation', 'changing a file'], ['TOOL_FAILED', 'FILE_NOT_FOUND', 'UNSUPPORTED_BY_BACKEND']),
  ChownForIdMaps: fails(['an operation', 'changing a file'], ['FILE_NOT_FOUND', 'UNSUPPORTED_BY_BACKEND']),
  DeleteFile: fails(['an operation', 'losing content'], ['FILE_NOT_FOUND']),
  StatFile: fails(['naming a path'], ['UNSUPPORTED_BY_BACKEND']),
  TouchFile: fails(['an operation', 'changing a file'], ['UNSUPPORTED_BY_BACKEND']),
  ReadFile: fails(['naming a path'], ['FILE_NOT_FOUND', 'NOT_A_FILE', 'SOURCE_CHANGED', 'UNSUPPORTED_BY_BACKEND']),
  WriteFile: fails(
    ['an operation', 'losing content'],
    ['PARENT_NOT_FOUND', 'FILE_NOT_FOUND', 'NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  GetHostInfo: fails([], []),
  GetFilesystemInfo: fails([], ['INVALID_FIELD', 'FILE_NOT_FOUND', 'PATH_OUTSIDE_ROOTS']),
  GetPoolInfo: fails(['using a pool'], ['ROOT_STALLED']),
  WatchFilesystem: fails([], ['INVALID_FIELD', 'FILE_NOT_FOUND', 'PATH_OUTSIDE_ROOTS', 'SHUTTING_DOWN']),
  GetArchitecture: fails([], ['INVALID_FIELD']),
  GetIscsiInitiator: fails([], ['ACCESS_DENIED']),
  IsMounted: fails([], ['INVALID_FIELD', 'PATH_OUTSIDE_ROOTS']),
  ValidateHostname: fails([], []),
  PickDiskDriverName: fails([], ['INVALID_FIELD']),
  GetInstancePath: fails([], ['INVALID_FIELD']),
  GetInstancePathAtDestination: fails([], ['INVALID_FIELD']),
  GetImageInfo: fails(['finding an image', 'judging an image'], ['ANSWER_TOO_LARGE']),
  BatchGetImageInfo: fails([], ['INVALID_FIELD', 'TOO_MANY_OPERATIONS']),
  ListImages: fails(['naming a path'], ['FILE_NOT_FOUND', 'GENERATION_TOO_OLD', 'UNSUPPORTED_BY_BACKEND']),
  WatchImages: fails(['naming a path'], ['FILE_NOT_FOUND', 'GENERATION_TOO_OLD', 'UNSUPPORTED_BY_BACKEND']),
  DetectDiskType: fails(['finding an image'], []),
  FindRootDisk: fails(['running a tool'], ['INVALID_FIELD', 'ROOT_DISK_NOT_FOUND', 'DOMAIN_NOT_FOUND']),
  MapImage: fails(['reading an image'], []),
  MeasureImage: fails(['reading an image'], ['UNSUPPORTED_BY_BACKEND']),
  CreateImage: fails(['an operation', 'making a target', 'running a tool'], ['UNSUPPORTED_BY_BACKEND']),
  CreateOverlay: fails(
    ['an operation', 'making a target', 'finding an image', 'judging an image', 'running a tool'],
    ['SAME_FILE', 'BASE_HAS_BACKING_FILE', 'BASE_LARGER', 'BASE_SIZE_DIFFERS', 'UNSUPPORTED_BY_BACKEND'],
  ),
  ConvertImage: fails(
    ['an operation', 'reading an image', 'making a target'],
    ['SAME_FILE', 'SOURCE_CHANGED', 'UNSUPPORTED_BY_BACKEND', 'IMAGE_TOO_LARGE', 'SANDBOX_UNAVAILABLE'],
  ),
  ExtractSnapshot: fails(
    ['an operation', 'reading an image', 'making a target'],
    [
      'SAME_FILE',
      'SOURCE_CHANGED',
      'SNAPSHOT_NOT_FOUND',
      'SNAPSHOT_SIZE_DIFFERS',
      'IMAGE_TOO_LARGE',
      'SANDBOX_UNAVAILABLE',
    ],
  ),
  CopyImage: fails(
    ['an operation', 'making a target', 'finding an image', 'running a tool'],
    [
      'SAME_FILE',
      'REMOTE_UNREACHABLE',
      'REMOTE_NOT_TRUSTED',
      'REMOTE_REFUSED',
      'SOURCE_CHANGED',
      'UNSUPPORTED_BY_BACKEND',
      'CHECKSUM_MISMATCH',
      'IMAGE_MALFORMED',
      'IMAGE_UNSAFE',
      'IMAGE_TOO_LARGE',
      'SANDBOX_UNAVAILABLE',
    ],
  ),
  FetchImage: fails(
    ['an operation', 'making a target', 'fetching', 'finding an image', 'judging an image'],
    ['MEMBER_NOT_FOUND', 'UNSUPPORTED_BY_BACKEND', 'SAME_FILE', 'SECRET_REQUIRED'],
  ),
  FetchRawImage: fails(['an operation', 'making a target', 'fetching', 'finding an image'], ['SAME_FILE']),
  ResizeImage: fails(
    ['an operation', 'reading an image', 'losing content'],
    ['WOULD_SHRINK', 'NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  RebaseImage: fails(
    ['an operation', 'reading an image', 'changing a file', 'working on an image'],
    ['BASE_LARGER', 'BASE_SIZE_DIFFERS', 'IMAGE_HAS_SNAPSHOTS', 'NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  CommitImage: fails(
    ['an operation', 'reading an image', 'losing content'],
    ['LAYER_NOT_FOUND', 'IMAGE_HAS_SNAPSHOTS', 'NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  CheckImage: fails(
    ['an operation', 'reading an image', 'changing a file', 'working on an image'],
    ['UNSUPPORTED_BY_BACKEND'],
  ),
  DigestImage: fails(
    ['an operation', 'working on an image', 'finding an image', 'running a tool'],
    ['IMAGE_TOO_LARGE', 'SOURCE_CHANGED'],
  ),
  CompareImages: fails(['an operation', 'reading an image', 'working on an image'], []),
  WipeImage: fails(
    ['an operation', 'losing content', 'finding an image', 'running a tool'],
    ['NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  DeleteImage: fails(['an operation', 'losing content', 'finding an image', 'running a tool'], []),
  CreateSnapshot: fails(
    ['an operation', 'reading an image', 'changing a file', 'working on an image'],
    ['SNAPSHOT_EXISTS', 'NO_SPACE', 'UNSUPPORTED_BY_BACKEND'],
  ),
  DeleteSnapshot: fails(
    ['an operation', 'reading an image', 'changing a file', 'working on an image'],
    ['SNAPSHOT_NOT_FOUND', 'UNSUPPORTED_BY_BACKEND'],
  ),
  RevertSnapshot: fails(
    ['an operation', 'reading an image', 'losing content'],
    ['SNAPSHOT_NOT_FOUND', 'UNSUPPORTED_BY_BACKEND'],
  ),
  ListSnapshots: fails(['finding an image'], ['FORMAT_MISMATCH', 'IMAGE_MALFORMED']),
  StartUpload: fails(
    ['making a target'],
    [
      'TOO_MANY_OPERATIONS',
      'REQUEST_ID_REUSED',
      'SHUTTING_DOWN',
      'IMAGE_TOO_LARGE',
      'SANDBOX_UNAVAILABLE',
      'CANCELLED',
    ],
  ),
  UploadImage: fails(
    ['judging an image'],
    [
      'INVALID_FIELD',
      'UPLOAD_NOT_FOUND',
      'NO_SPACE',
      'CHECKSUM_MISMATCH',
      'TARGET_EXISTS',
      'EXPIRED',
      'CANCELLED',
      'SHUTTING_DOWN',
      'TOOL_FAILED',
    ],
  ),
  DownloadImage: fails(
    ['naming a path', 'running a tool'],
    [
      'FILE_NOT_FOUND',
      'NOT_A_FILE',
      'IMAGE_TOO_LARGE',
      'IMAGE_IN_USE',
      'SOURCE_CHANGED',
      'TOO_MANY_OPERATIONS',
      'UNSUPPORTED_BY_BACKEND',
    ],
  ),
  ListCachedImages: fails(['using a pool'], []),
  PinCachedImage: fails(['an operation', 'using a pool'], ['IMAGE_NOT_FOUND', 'NO_SPACE', 'ROOT_READ_ONLY']),
  PrefetchImage: fails(
    ['an operation', 'fetching', 'judging an image'],
    ['PATH_OUTSIDE_ROOTS', 'MEMBER_NOT_FOUND', 'SECRET_REQUIRED'],
  ),
  EvictCachedImages: fails(
    ['an operation', 'finding an image', 'using a pool'],
    ['IMAGE_IN_USE', 'DEPENDANTS_UNKNOWN', 'ROOT_READ_ONLY'],
  ),
  OpenExport: fails(
    ['an operation', 'working on an image', 'finding an image', 'running a tool'],
    ['METHOD_NOT_ALLOWED', 'EXPIRED', 'UNSUPPORTED_BY_BACKEND'],
  ),
  CloseExport: fails([], ['INVALID_FIELD', 'EXPORT_NOT_FOUND', 'SOURCE_CHANGED', 'IMAGE_IN_USE']),
  GetOperation: fails([], ['INVALID_FIELD', 'OPERATION_NOT_FOUND']),
  ListOperations: fails([], ['INVALID_FIELD']),
  WatchOperation: fails([], ['INVALID_FIELD', 'OPERATION_NOT_FOUND', 'SHUTTING_DOWN']),
  WatchOperations: fails([], ['INVALID_FIELD', 'CURSOR_TOO_OLD', 'SHUTTING_DOWN']),
  CancelOperation: fails(
    [],
    ['INVALID_FIELD', 'OPERATION_NOT_FOUND', 'METHOD_NOT_ALLOWED', 'NOT_CANCELLABLE', 'SHUTTING_DOWN'],
  ),
};
