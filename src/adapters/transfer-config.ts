/** Keys of the configuration for what moves images between here and elsewhere. */
import { z } from 'zod';
import { absolutePath } from './access-config.js';
import type { SshConfig } from './ssh.js';

const seconds = z.int().min(1);
/** It becomes part of ssh's options, which has no way to write a quote or percent sign. */
const sshPath = absolutePath.regex(/^[^"%\n]*$/, 'must not hold a quote, percent sign or line end');

export const ssh = z
  .strictObject({
    user: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/, 'must be the name of a user')
      .optional(),
    identity_file: sshPath.optional(),
    known_hosts_file: sshPath.optional(),
    config_file: sshPath.optional(),
    host_keys: z.enum(['known', 'accept-new']).default('known'),
    connect_timeout_seconds: seconds.default(10),
    dead_line_seconds: z.int().min(3).default(15),
  })
  .prefault({});

export const uploads = z
  .strictObject({
    expire_hours: z
      .number()
      .positive()
      .max(24 * 365)
      .default(24),
  })
  .prefault({});

export function sshConfig({
  user,
  identity_file,
  known_hosts_file,
  config_file,
  ...rest
}: z.infer<typeof ssh>): SshConfig {
  return {
    ...(user === undefined ? {} : { user }),
    ...(identity_file === undefined ? {} : { identityFile: identity_file }),
    ...(known_hosts_file === undefined ? {} : { knownHostsFile: known_hosts_file }),
    ...(config_file === undefined ? {} : { configFile: config_file }),
    hostKeys: rest.host_keys,
    connectTimeoutSeconds: rest.connect_timeout_seconds,
    deadLineSeconds: rest.dead_line_seconds,
  };
}
