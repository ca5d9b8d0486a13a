import type { ImageInfo, ImageResult, FetchResult } from '../gen/hostler/v1/image.js';
import type { DirectoryResult, FileMoveResult, OperationResult } from '../gen/hostler/v1/operation.js';
import { timeText } from '../protocol/times.js';
import { bytes, exactBytes, listing, printable } from './text.js';

/** A result as a few lines. */
export function showResult({ result, replayed }: OperationResult): string {
  const replayNote = replayed ? ' (done before; this is its result again)' : '';
  switch (result?.$case) {
    case 'image':
      return showImage(result.value, replayNote);
    case 'copy': {
      const { target, lengthBytes, allocatedBytes, engine, why, movedBytes, skippedBytes, verified } = result.value;
      const checked = verified ? ', verified' : '';
      return `${printable(target)}: ${bytes(lengthBytes)}, ${bytes(allocatedBytes)} on disk${checked}${replayNote}\n  ${engine}: ${why}\n  ${bytes(movedBytes)} moved, ${bytes(skippedBytes)} skipped`;
    }
    case 'digest': {
      const { algorithm, digest, lengthBytes } = result.value;
      return `${algorithm}:${digest}${replayNote}\n  ${exactBytes(lengthBytes)}`;
    }
    case 'imageExport':
      return `served, ${exactBytes(result.value.lengthBytes)}${replayNote}`;
    case 'check': {
      const { clean, corruptions, leaks, checkErrors, corruptionsFixed, leaksFixed } = result.value;
      const found = `${String(corruptions)} corruptions, ${String(leaks)} leaks, ${String(checkErrors)} errors of the check`;
      const fixed = corruptionsFixed + leaksFixed;
      return `${clean ? 'clean' : 'NOT clean'}: ${found}; ${String(fixed)} repaired${replayNote}`;
    }
    case 'compare':
      return `${result.value.equal ? 'equal' : 'different'}: ${printable(result.value.message)}${replayNote}`;
    case 'snapshot':
      return `${result.value.snapshot?.id ?? ''} ${printable(result.value.snapshot?.name ?? '')}${replayNote}`;
    case 'deletion':
      return result.value.existed
        ? `removed, ${bytes(result.value.freedBytes)} freed${replayNote}`
        : `nothing was there${replayNote}`;
    case 'plan':
      return listing(Object.entries({ ...result.value }).map(([name, value]) => [words(name), shown(value)]));
    case 'chown':
      return `${String(result.value.changedItems)} of ${String(result.value.seenItems)} entries changed${replayNote}`;
    case 'write':
      return `${bytes(result.value.writtenBytes)} written${replayNote}`;
    case 'touch':
      return result.value.existed ? `touched${replayNote}` : `nothing was there${replayNote}`;
    case 'directory':
      return showDirectory(result.value, replayNote);
    case 'fileMove':
      return showMove(result.value, replayNote);
    case 'execute':
      return `exit code ${String(result.value.exitCode)}${replayNote}`;
    // Results of verbs that this client has no command for.
    case 'fetch':
      return showFetch(result.value, replayNote);
    case undefined:
      return `done${replayNote}`;
  }
}

function showDirectory({ existed, topmostPath, madeItems }: DirectoryResult, replayNote: string): string {
  if (existed) return `was there already${replayNote}`;
  return madeItems === 1
    ? `${printable(topmostPath)}${replayNote}`
    : `${printable(topmostPath)} and ${String(madeItems - 1)} below it${replayNote}`;
}

function showMove({ path, replaced, rewrittenItems }: FileMoveResult, replayNote: string): string {
  const rewritten = rewrittenItems === 0 ? '' : `; headers with the new name: ${String(rewrittenItems)}`;
  return `${printable(path)}${replaced ? ', which was replaced' : ''}${rewritten}${replayNote}`;
}

function showImage({ info, work }: ImageResult, replayNote: string): string {
  const what =
    info === undefined
      ? 'done'
      : `${printable(info.path)}: ${info.format}, ${bytes(info.virtualSizeBytes)}, ${bytes(info.allocatedBytes)} on disk`;
  const amounts = Object.entries({ ...work }).flatMap(([name, value]) =>
    typeof value === 'bigint' && value > 0n ? [`${bytes(value)} ${words(name)}`] : [],
  );
  return [`${what}${replayNote}`, ...(amounts.length > 0 ? [`  ${amounts.join(', ')}`] : [])].join('\n');
}

/** The name of a field as words; for an amount of bytes, without `bytes`. */
function words(field: string): string {
  return field.replace(/Bytes$/, '').replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** The value of a field of a plan; amounts are bytes. */
function shown(value: string | bigint | undefined): string | undefined {
  return typeof value === 'bigint' ? bytes(value) : value;
}

function showFetch({ info, networkBytes, fromCache, lengthBytes, checksum }: FetchResult, replayNote: string): string {
  const what =
    info === undefined
      ? bytes(lengthBytes)
      : `${printable(info.path)}: ${info.format}, ${bytes(info.virtualSizeBytes)}`;
  const from = fromCache ? 'from the cache' : `${bytes(networkBytes)} over the network`;
  return `${what}, ${from}${replayNote}\n  ${checksum}`.trimEnd();
}

/** An image, one fact on each line. */
export function showInfo(info: ImageInfo): string {
  return listing([
    ['path', info.path],
    ['format', [info.format, info.compat, info.subformat].filter((part) => part !== undefined).join(' ')],
    ['virtual size', exactBytes(info.virtualSizeBytes)],
    ['file length', exactBytes(info.fileLengthBytes)],
    ['on disk', exactBytes(info.allocatedBytes)],
    ['cluster size', info.clusterSizeBytes === undefined ? undefined : exactBytes(info.clusterSizeBytes)],
    ['backing file', info.backingFile],
    ['backing format', info.backingFormat],
    ['data file', info.dataFile],
    ['compression', info.compressionType],
    ['flags', flags(info)],
    ...info.snapshots.map(({ id, name, createTime }) => ['snapshot', `${id} ${name} ${timeText(createTime)}`] as const),
    ...info.findings.map(({ reason, message }) => ['finding', `${reason}: ${message}`] as const),
  ]);
}

/** The chain as a tree, the top first, each layer with its findings. */
export function showChain(top: ImageInfo, below: readonly ImageInfo[]): string {
  return [top, ...below]
    .flatMap((layer, depth) => {
      const indent = depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `;
      const under = ' '.repeat(3 * depth);
      return [
        `${indent}${printable(layer.path)}  ${layer.format}, ${bytes(layer.virtualSizeBytes)}, ${bytes(layer.allocatedBytes)} on disk`,
        ...layer.findings.map(({ reason, message }) => `${under}! ${reason}: ${printable(message)}`),
      ];
    })
    .join('\n');
}

function flags(info: ImageInfo): string | undefined {
  const set = [
    info.encrypted && 'encrypted',
    info.dirty && 'dirty',
    info.corrupt && 'corrupt',
    info.inUse && 'in use',
    info.lazyRefcounts === true && 'lazy refcounts',
    info.extendedL2 === true && 'extended L2',
  ].filter((flag) => flag !== false);
  return set.length === 0 ? undefined : set.join(', ');
}
