/** Parsers of CopyImage requests. */
import * as z from 'zod';
import { hostnameKind } from '../domain/host/hostname.js';
import { CopyEngine as WireEngine, RemoteSide } from '../gen/hostler/v1/image_service.js';
import { address, defined, enumeration, parseVerb, rate } from './fields.js';
import { parseAsk, writable } from './image-requests.js';
import type { Parsed } from './running.js';
import type { CopyEngine, CopySpec } from '../domain/copy/copy-spec.js';

const MAX_PORT = 65_535;

const engines: Readonly<Record<number, CopyEngine>> = {
  [WireEngine.COPY_ENGINE_UNSPECIFIED]: 'AUTO',
  [WireEngine.COPY_ENGINE_AUTO]: 'AUTO',
  [WireEngine.COPY_ENGINE_REFLINK]: 'REFLINK',
  [WireEngine.COPY_ENGINE_LOCAL_SPARSE]: 'LOCAL_SPARSE',
  [WireEngine.COPY_ENGINE_NBD_TLS]: 'NBD_TLS',
  [WireEngine.COPY_ENGINE_NBD_SSH]: 'NBD_SSH',
  [WireEngine.COPY_ENGINE_RSYNC_SSH]: 'RSYNC_SSH',
};
const ON_HOST: readonly CopyEngine[] = ['AUTO', 'REFLINK', 'LOCAL_SPARSE'];
const BETWEEN_HOSTS: readonly CopyEngine[] = ['AUTO', 'NBD_TLS', 'NBD_SSH', 'RSYNC_SSH'];

const sides: Readonly<Record<number, 'source' | 'target'>> = {
  [RemoteSide.REMOTE_SIDE_UNSPECIFIED]: 'target',
  [RemoteSide.REMOTE_SIDE_SOURCE]: 'source',
  [RemoteSide.REMOTE_SIDE_TARGET]: 'target',
};

/** Names that useradd accepts; a leading dash would be an option. */
const user = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/, 'must be the name of a user');

const remote = z
  .object({
    host: z.string().refine((name) => hostnameKind(name) !== undefined, 'must be a host name or an address'),
    port: z
      .int()
      .min(1)
      .max(MAX_PORT, `must be at most ${String(MAX_PORT)}`)
      .optional(),
    user: user.optional(),
    agent: z.boolean(),
  })
  .optional();

const copy = z
  .object({
    source: address,
    target: address,
    remote,
    remoteSide: enumeration(sides),
    engine: enumeration(engines),
    compression: z.boolean().optional(),
    verify: z.boolean(),
    preserveAllocation: z.boolean(),
    bandwidthBytesPerSecond: rate.optional(),
    allowInUse: z.boolean(),
    ...writable,
  })
  .superRefine(({ remote: far, engine, preserveAllocation }, context) => {
    // On another host, allocated zeros cannot be distinguished from a hole.
    if (far !== undefined && preserveAllocation)
      context.addIssue({ code: 'custom', path: ['preserveAllocation'], message: 'is for copies on one host' });
    const allowed = far === undefined ? ON_HOST : BETWEEN_HOSTS;
    if (allowed.includes(engine)) return;
    const message = `${engine} is for copies ${far === undefined ? 'between hosts' : 'on one host'}`;
    context.addIssue({ code: 'custom', path: ['engine'], message });
  });

/**
 * CopyImage as a spec. Compression is on by default for copies between hosts and has no effect on
 * one host. Fails with INVALID_FIELD.
 */
export function parseCopy(request: unknown): Parsed<CopySpec> {
  const { remote: far, remoteSide, compression, bandwidthBytesPerSecond, ...rest } = parseVerb(copy, request);
  const ends = far === undefined ? {} : { remote: { ...defined(far), side: remoteSide } };
  // Compression costs little and saves much between hosts; on one host nothing is transferred.
  const compress = far !== undefined && compression !== false;
  const spec = defined({ ...rest, ...ends, compress, bytesPerSecond: bandwidthBytesPerSecond });
  return { spec, ask: parseAsk(request) };
}
