import { parse, stringify, TomlError } from 'smol-toml';
import * as z from 'zod';
import { schemaWords } from '../../domain/model/schema-words.js';
import { absolutePath, callers, checkAccess, listenAddress, listener, roles, tls } from './access-config.js';
import { caching, fetching } from './fetch-config.js';
import { exports, peers, pulls, ssh, uploads } from './transfer-config.js';
import { FAILPOINT } from './failpoint.js';
import { tracing } from './tracing-config.js';

const count = z.int().min(1);
const httpAddress = z
  .string()
  .regex(/^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost):\d{1,5}$/, 'must be HOST:PORT on the loopback, or empty');
const root = z.strictObject({
  path: absolutePath,
  kind: z.enum(['files', 'devices']).default('files'),
  access: z.enum(['read-write', 'read-only']).default('read-write'),
  trusted: z.boolean().default(true),
  owner: z.string().optional(),
  group: z.string().optional(),
  mode: z
    .string()
    .regex(/^0[0-7]{3}$/, 'must be octal, such as "0600"')
    .optional(),
});

const command = z.strictObject({
  name: z.string().min(1),
  executable: absolutePath,
  arguments: z.array(z.string()).default([]),
  user: z.string().min(1).optional(),
  timeout_seconds: z.int().min(1).max(86_400).default(60),
  exit_codes: z.array(z.int().min(0).max(255)).min(1).default([0]),
});

/** The name becomes part of qemu's options, but not of a file name. */
const clusterName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/i, 'must be letters, digits, `-` and `_`');

const cluster = z.strictObject({
  name: clusterName,
  config_file: absolutePath.default('/etc/ceph/ceph.conf'),
  user: z
    .string()
    .regex(/^[^\s/@:[\]]+$/, 'must be the name of a client, without `client.`')
    .default('hostler'),
  keyring: absolutePath.optional(),
  patience_seconds: z.int().min(1).max(3600).default(15),
  watcher_patience_seconds: z.int().min(0).max(600).default(40),
  abandoned_seconds: z.int().min(1).default(3600),
});

const pool = z.strictObject({
  name: z.string().regex(/^[^\p{Cc}/@:]+$/u, 'must be the name of a pool'),
  cluster: clusterName,
  access: z.enum(['read-write', 'read-only']).default('read-write'),
  trash_hours: z.int().min(0).default(0),
  roles: z.array(z.string().min(1)).optional(),
});

const TWICE = 'two have the same name';
const namedOnce = (each: readonly { readonly name: string }[]) =>
  new Set(each.map(({ name }) => name)).size === each.length;

const keys = z.strictObject({
  state_dir: absolutePath.default('/var/lib/hostler/state'),
  instances_path: absolutePath.default('/var/lib/hostler/instances'),
  iscsi_initiator_file: absolutePath.default('/etc/iscsi/initiatorname.iscsi'),
  server: z
    .strictObject({
      listen: z.array(listenAddress).default(['unix:///run/hostler/hostler.sock']),
      http: z.union([z.literal(''), httpAddress]).default('127.0.0.1:16521'),
      loopback_role: z.string().default('viewer'),
      drain_seconds: z.int().min(0).default(30),
      give_up_seconds: z.int().min(1).default(15),
    })
    .prefault({}),
  listeners: z.array(listener).default([]),
  tls: tls.optional(),
  roles,
  callers,
  roots: z.array(root).min(1, 'at least one [[roots]] is needed: addresses may lie nowhere else'),
  clusters: z.array(cluster).default([]).refine(namedOnce, TWICE),
  pools: z.array(pool).default([]).refine(namedOnce, TWICE),
  commands: z.array(command).default([]).refine(namedOnce, TWICE),
  libvirt_uri: z.string().min(1).optional(),
  sandbox: z.strictObject({ mode: z.enum(['require', 'auto', 'off']).default('auto') }).prefault({}),
  limits: z
    .strictObject({
      running_operations: count.default(8),
      running_operations_per_filesystem: count.default(4),
      running_short_operations: count.default(32),
      queued_operations: z.int().min(0).default(256),
      queued_operations_per_caller: z.int().min(1).optional(),
      callers_part: z.number().positive().max(1).default(0.75),
      watches_per_caller: count.default(256),
      incoming_streams_per_caller: count.default(64),
      denials_per_second: z.int().min(1).default(100),
      streams_per_connection: count.default(1000),
      calls_per_caller: count.default(2000),
      part_bytes_per_caller: count.default(80 * 1024 * 1024),
      answer_bytes: count.default(128 * 1024 * 1024),
      first_message_seconds: z.int().min(1).max(3600).default(30),
      unread_seconds: z.int().min(1).max(86_400).default(300),
      connections: count.default(1024),
      connections_per_caller: count.default(256),
      half_open_connections: count.default(256),
      handshake_seconds: z.int().min(1).max(300).default(10),
      history_operations: count.default(100_000),
      history_hours: count.default(168),
      resume_hours: z.number().positive().default(24),
      resume_bytes: z
        .int()
        .min(0)
        .default(200 * 1024 ** 3),
      space_overhead_bytes: z
        .int()
        .min(0)
        .default(4 * 1024 * 1024),
      events_per_second: z.int().min(1).max(5).default(5),
      root_patience_ms: count.default(5000),
      tool_kill_grace_ms: z.int().min(0).default(500),
      tools: z
        .strictObject({
          cpu_seconds: count.optional(),
          address_space_bytes: count.optional(),
          wall_seconds: count.optional(),
          stall_seconds: count.optional(),
          nice: z.int().min(0).max(19).optional(),
          ionice: z.enum(['best-effort', 'idle']).optional(),
        })
        .prefault({}),
      foreign: z
        .strictObject({
          image_bytes: count.default(64 * 1024 ** 4),
          cpu_seconds: count.default(3600),
          address_space_bytes: count.default(8 * 1024 ** 3),
          wall_seconds: count.default(4 * 3600),
          stall_seconds: count.default(300),
        })
        .prefault({}),
    })
    .prefault({}),
  fetch: fetching,
  cache: caching,
  ssh,
  peers,
  exports,
  pulls,
  uploads,
  audit: z
    .strictObject({ file: absolutePath.optional(), mode: z.enum(['best-effort', 'require']).default('best-effort') })
    .refine(({ file, mode }) => mode !== 'require' || file !== undefined, 'mode = "require" needs a file')
    .prefault({}),
  tracing,
  debug: z
    .strictObject({
      failpoints: z
        .array(
          z.string().regex(FAILPOINT, 'must be METHOD:STEP:ACTION, with a step and an action of docs/failpoints.md'),
        )
        .default([]),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(['error', 'warn', 'info', 'debug']).default('info') }).prefault({}),
});

const schema = keys.superRefine((config, context) => {
  checkAccess(config, (path, message) => context.addIssue({ code: 'custom', path, message }));
});

export type Config = z.infer<typeof schema>;

/** All problems of a configuration, one on each line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Parses and checks the configuration. Fails with ConfigError: one line for each wrong field, with
 * `path` and the field's name; a TOML error is one line.
 */
export function parseConfig(text: string, path: string): Config {
  let data: unknown;
  try {
    data = parse(text);
  } catch (error) {
    if (error instanceof TomlError) throw new ConfigError(`${path}: ${tomlProblem(error)}`);
    throw error;
  }
  const result = schema.safeParse(data, { error: schemaWords });
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues
      .map((issue) => `${path}: ${[issue.path.join('.'), issue.message].filter((part) => part !== '').join(': ')}`)
      .join('\n'),
  );
}

/** `line 3, column 5: invalid value`. The library also shows the lines, whatever is in them. */
function tomlProblem({ line, column, message }: TomlError): string {
  const [what = ''] = message.replace(/^Invalid TOML document: /, '').split('\n', 1);
  return `line ${String(line)}, column ${String(column)}: ${what}`;
}

/** The configuration in force, with its defaults, as TOML. */
export function showConfig(config: Config): string {
  return stringify(config);
}
