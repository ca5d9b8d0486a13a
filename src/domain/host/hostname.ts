import * as z from 'zod';

export type HostnameKind = 'hostname' | 'ipv4' | 'ipv6';

/** DNS allows no more. */
const MAX_LENGTH = 253;

/**
 * What a name of a host is; undefined when it is none: nothing else may reach a command line as a
 * host.
 */
export function hostnameKind(name: string): HostnameKind | undefined {
  if (!/^[\w:.-]+$/.test(name) || name.length > MAX_LENGTH) return undefined;
  if (/^[-.]/.test(name)) return undefined;
  if (z.ipv4().safeParse(name).success) return 'ipv4';
  return z.ipv6().safeParse(name).success ? 'ipv6' : 'hostname';
}
