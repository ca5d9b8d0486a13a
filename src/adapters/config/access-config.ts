/** The parts of the configuration about who may call, and what callers may do. */
import * as z from 'zod';

export const absolutePath = z
  .string()
  .regex(/^\/(?:[^/\0]+(?:\/[^/\0]+)*)?$/, 'must be an absolute path without `//` or a trailing `/`');
const octalMode = z.string().regex(/^0[0-7]{3}$/, 'must be octal, such as "0660"');
const MAX_PORT = 65535;
const portOf = (address: string) => Number(address.slice(address.lastIndexOf(':') + 1));
export const listenAddress = z
  .string()
  .regex(/^(?:unix:\/\/\/.+|tcp:\/\/.+:\d{1,5})$/, 'must be unix:///PATH or tcp://HOST:PORT')
  .refine((address) => address.startsWith('unix:') || portOf(address) <= MAX_PORT, 'the port is at most 65535');
const place = z.union(
  [absolutePath, z.string().regex(/^rbd:[^/@]+(?:\/[^/@]+)?$/)],
  'must be an absolute path or rbd:POOL',
);
const places = z.array(place);
const callerName = z
  .string()
  .regex(/^(?:uri|dns|cn):[^\p{Cc}*]+$/u, 'must be a name of a certificate: uri:…, dns:… or cn:…, without wildcards');

export const BUILT_IN_ROLES = ['admin', 'operator', 'viewer', 'agent'];

export const listener = z.strictObject({
  address: listenAddress,
  tls: z.boolean().optional(),
  role: z.string().min(1).optional(),
  owner: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  mode: octalMode.default('0660'),
});

export const tls = z.strictObject({
  ca: absolutePath,
  cert: absolutePath,
  key: absolutePath,
  crl: absolutePath.optional(),
});

/** Names that useradd accepts; a leading dash would be an option. */
const login = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/, 'must be the name of a user');
/** A remote host as requests name it, or a pattern for several. */
export const hostPattern = z
  .string()
  .regex(/^(?:\*|(?:\*\.)?[A-Za-z0-9_][\w.:-]{0,252})$/, 'must be a host name or an address, *.DOMAIN or *');
const farPlaces = z.strictObject({
  host: hostPattern,
  users: z.array(login).default([]),
  read: z.array(absolutePath).default([]),
  write: z.array(absolutePath).default([]),
});

const role = z.strictObject({
  services: z.array(z.string()).default([]),
  methods: z.array(z.string()).default([]),
  read_only: z.boolean().default(false),
  read: places.default([]),
  write: places.default([]),
  commands: z.array(z.string()).default([]),
  labels: z.record(z.string(), z.string()).default({}),
  operations: z.enum(['own', 'see', 'all']).default('own'),
  remote: z.array(farPlaces).default([]),
});
export const roles = z
  .record(z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be lower case letters, digits and dashes'), role)
  .default({})
  .refine((given) => !BUILT_IN_ROLES.some((name) => name in given), `${BUILT_IN_ROLES.join(', ')} are there already`);

const caller = z.strictObject({
  name: callerName,
  role: z.string().min(1),
  read: places.optional(),
  write: places.optional(),
});
export const callers = z
  .array(caller)
  .default([])
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two have the same name');

export interface AccessConfig {
  readonly server: { readonly listen: readonly string[]; readonly loopback_role: string };
  readonly listeners: readonly z.infer<typeof listener>[];
  readonly tls?: z.infer<typeof tls> | undefined;
  readonly roles: z.infer<typeof roles>;
  readonly callers: z.infer<typeof callers>;
  readonly pools: readonly { readonly roles?: readonly string[] | undefined }[];
}

type Complain = (path: (string | number)[], message: string) => void;

/** Checks rules that concern several keys together. */
export function checkAccess(config: AccessConfig, complain: Complain): void {
  const known = [...BUILT_IN_ROLES, ...Object.keys(config.roles)];
  const assertRole = (name: string | undefined, path: (string | number)[]) => {
    if (name !== undefined && !known.includes(name))
      complain(path, `there is no role ${name}: define [roles.${name}] or take one of ${known.join(', ')}`);
  };
  if (config.server.listen.length + config.listeners.length === 0) complain(['server', 'listen'], 'nowhere to listen');
  assertRole(config.server.loopback_role, ['server', 'loopback_role']);
  for (const [index, { role: name }] of config.callers.entries()) assertRole(name, ['callers', index, 'role']);
  for (const [index, { roles: names = [] }] of config.pools.entries())
    for (const name of names) assertRole(name, ['pools', index, 'roles']);
  for (const [index, address] of config.server.listen.entries())
    checkListener({ address }, config, (path, message) => {
      complain(['server', 'listen', index, ...path], message);
    });
  for (const [index, given] of config.listeners.entries()) {
    assertRole(given.role, ['listeners', index, 'role']);
    checkListener(given, config, (path, message) => {
      complain(['listeners', index, ...path], message);
    });
  }
}

type Given = Pick<z.infer<typeof listener>, 'address'> & Partial<z.infer<typeof listener>>;

function checkListener(
  { address, tls: wanted, role: name, owner, group }: Given,
  config: AccessConfig,
  complain: Complain,
) {
  const unix = address.startsWith('unix:');
  const secure = speaksTls({ address, tls: wanted }, config);
  if (unix && wanted === true) complain(['tls'], 'unix sockets do not speak TLS: their mode says who may call');
  if (!unix && (owner ?? group) !== undefined) complain(['owner'], 'is for unix sockets');
  if (secure && config.tls === undefined) complain(['tls'], 'needs a certificate: set [tls] ca, cert and key');
  if (secure && name !== undefined)
    complain(['role'], 'is for callers without a certificate; others have theirs by [[callers]]');
  if (!unix && !secure && !isLoopback(address))
    complain(
      ['address'],
      `${address} is not on the loopback: that needs mutual TLS. Set [tls] ca, cert and key, or listen on tcp://127.0.0.1:PORT or a unix socket`,
    );
}

/** With a certificate every TCP address uses TLS, unless it is configured otherwise. */
export function speaksTls(
  { address, tls: wanted }: { readonly address: string; readonly tls?: boolean | undefined },
  config: { readonly tls?: unknown },
): boolean {
  return address.startsWith('tcp:') && (wanted ?? config.tls !== undefined);
}

function isLoopback(address: string): boolean {
  const host = address.slice('tcp://'.length, address.lastIndexOf(':'));
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
