import * as z from 'zod';

export type HostnameKind = 'hostname' | 'ipv4' | 'ipv6';

/** DNS allows no more. */
const MAX_LENGTH = 253;

/**
 * The kind of a host name; undefined if it is not a valid one, and then it must not reach a command
 * line.
 */
export function hostnameKind(name: string): HostnameKind | undefined {
  if (!/^[\w:.-]+$/.test(name) || name.length > MAX_LENGTH) return undefined;
  if (/^[-.]/.test(name)) return undefined;
  if (z.ipv4().safeParse(name).success) return 'ipv4';
  return z.ipv6().safeParse(name).success ? 'ipv6' : 'hostname';
}
