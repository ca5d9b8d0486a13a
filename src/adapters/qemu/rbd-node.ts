import type { Arg, Reference } from '../process/tool-call.js';
import { imageOf, isRbdHandle } from './rbd-pool.js';
import type { FileRef } from '../../domain/ports/handles.js';

/**
 * Members that name an image of a cluster, with the cluster's configuration; undefined for a file.
 */
export function rbdMembers(file: FileRef): readonly (readonly [name: string, value: string | Reference])[] | undefined {
  const { handle } = file;
  const image = imageOf(file);
  if (image === undefined || !isRbdHandle(handle)) return undefined;
  const { pool, namespace, snapshot } = image;
  const option = (name: string, value: string | undefined): (readonly [string, string])[] =>
    value === undefined || value === '' ? [] : [[name, value]];
  return [
    ['driver', 'rbd'],
    ...option('pool', pool.name),
    ...option('namespace', namespace),
    ...option('image', image.image),
    ...option('snapshot', snapshot),
    ...option('user', pool.cluster.user),
    ...(handle.access.key === undefined ? [] : option('key-secret', secretId(pool.cluster.name))),
    ['conf', handle.access.config],
  ];
}

/** The keys of all clusters that are named, each once. */
export function clusterKeys(files: readonly FileRef[]): Arg[] {
  const keys = new Map<string, Reference>();
  for (const { handle } of files)
    if (isRbdHandle(handle) && handle.access.key !== undefined) keys.set(handle.pool.cluster.name, handle.access.key);
  return [...keys].flatMap(([cluster, key]): Arg[] => [
    '--object',
    [`secret,id=${secretId(cluster)},format=base64,file=`, key],
  ]);
}

function secretId(cluster: string): string {
  return `ceph-${cluster}`;
}
