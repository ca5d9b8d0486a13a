/** Keys of the configuration for traces. */
import * as z from 'zod';

/** A URL without user, query and fragment: an endpoint must not contain a secret. */
function isCollector(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return false;
  return [url.username, url.password, url.search, url.hash].every((part) => part === '');
}

function hasPath(endpoint: string): boolean {
  return isCollector(endpoint) && new URL(endpoint).pathname !== '/';
}

export const tracing = z
  .strictObject({
    endpoint: z.string().refine(isCollector, 'must be http://HOST:PORT or https://HOST:PORT').optional(),
    protocol: z.enum(['http/protobuf', 'grpc']).default('http/protobuf'),
    sample_ratio: z.number().min(0).max(1).default(1),
  })
  .refine(
    ({ endpoint = '', protocol }) => protocol !== 'grpc' || !hasPath(endpoint),
    'grpc has no path in its endpoint',
  )
  .prefault({});
