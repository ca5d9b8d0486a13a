import { isIP } from 'node:net';
import * as z from 'zod';
import { absolutePath } from './access-config.js';
import { parseHostPattern } from './host-list.js';

const webUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });
const bytes = z.int().min(0);

/** A CIDR range. */
export const network = z.string().refine((text) => {
  const [, address = '', bits = ''] = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}, 'must be a range of addresses such as 10.0.0.0/8');

const host = z
  .string()
  .refine(
    (text) => parseHostPattern(text) !== undefined,
    'must be a host name, .example.org, *.example.org, an address, a range of addresses, or *',
  );

/** The table `[fetch]`. */
export const fetching = z
  .strictObject({
    allowed_schemes: z.array(z.enum(['http', 'https', 'file', 'glance'])).default(['http', 'https', 'file', 'glance']),
    allowed_hosts: z.array(host).optional(),
    allowed_networks: z.array(network).optional(),
    loopback: z.boolean().default(true),
    max_redirects: z.int().min(0).max(20).default(5),
    ca_file: absolutePath.optional(),
    system_ca: z.boolean().default(false),
    proxy: webUrl.optional(),
    no_proxy: z.array(host).default([]),
    proxy_from_environment: z.boolean().default(false),
    proxy_sees_secrets: z.boolean().default(false),
    attempts: z.int().min(1).default(8),
    backoff_ms: z.int().min(0).default(500),
    max_backoff_ms: z.int().min(0).default(30_000),
    connect_seconds: z.number().positive().default(10),
    stall_seconds: z.number().positive().default(30),
    min_bytes_per_second: bytes.default(1024),
    max_bytes: z
      .int()
      .min(1)
      .default(1024 ** 4),
    glance: z
      .strictObject({ endpoint: webUrl.optional(), token_file: absolutePath.optional() })
      .refine(({ endpoint, token_file: file }) => file === undefined || endpoint !== undefined, {
        path: ['token_file'],
        message: 'needs an endpoint: the token is sent to that server and to no other',
      })
      .prefault({}),
  })
  .refine(({ proxy, proxy_from_environment: variables }) => proxy === undefined || !variables, {
    path: ['proxy_from_environment'],
    message: 'not beside proxy: which of them counts?',
  })
  .prefault({});

/** The table `[cache]`. */
export const caching = z
  .strictObject({
    path: absolutePath.optional(),
    pools: z.array(z.string().min(1)).default([]),
    max_bytes: bytes.default(200 * 1024 ** 3),
    max_age_hours: z
      .number()
      .positive()
      .default(24 * 30),
    verify: z.boolean().default(false),
  })
  .prefault({});
