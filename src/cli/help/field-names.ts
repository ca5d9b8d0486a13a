/** Translates a daemon's names of request fields into the options and arguments of a command. */
import type { Command } from 'commander';

/** Exceptions: the options and arguments of a field; the first that a command has is used. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  allow_shrink: ['--shrink'],
  archive_member: ['--member'],
  attempts: ['--attempts'],
  backing_chain: ['--chain'],
  backing_file: ['<base>'],
  bandwidth_bytes_per_second: ['--bandwidth'],
  cache_id: ['<id>'],
  cache_ids: ['<id>'],
  checksum_url: ['--checksum-url'],
  cluster_size_bytes: ['--cluster-size'],
  domain_name: ['<domain>'],
  domain_xml: ['--xml'],
  encryption: ['--target-passphrase-file', '--passphrase-file'],
  first_format: ['--format'],
  first_secret: ['--passphrase-file'],
  gid_maps: ['--gid-map'],
  headers: ['--header'],
  image_architecture: ['<architecture>'],
  instance: ['<uuid>'],
  instance_relative_path: ['<folder>'],
  is_block_device: ['--block'],
  labels: ['--label'],
  max_size_bytes: ['--max-size'],
  mount_path: ['<path>'],
  operation_id: ['<id>', '--operation'],
  path: ['<disk>'],
  paths: ['<path>'],
  plan_only: ['--plan'],
  second_secret: ['--second-passphrase-file'],
  secret: ['--passphrase-file'],
  size: ['<size>', '--size'],
  source: ['<url>'],
  source_format: ['--format'],
  source_secret: ['--passphrase-file'],
  target_bytes: ['--target'],
  threshold_bytes: ['--threshold'],
  uid_maps: ['--uid-map'],
  url: ['<url>'],
  use_cache: ['--cache'],
  version: ['--hypervisor-version'],
  virt_type: ['<hypervisor>'],
  virtual_size_bytes: ['<size>', '--size'],
};

/** The fields in `OTHER_NAMES`, and their names. */
export const FIELD_NAMES: ReadonlyMap<string, readonly string[]> = new Map(Object.entries(OTHER_NAMES));

/**
 * A command's name for a field, such as `--target-format` for `target_format`. For `remote.host`
 * and `uid_maps[0].start` the nearest part that the command has; the field itself if it has none.
 */
export function nameOfField(field: string, command: Command): string {
  const parts = field.split('.').map((part) => part.split('[', 1).join(''));
  for (const part of parts.toReversed()) {
    const own = [`--${part.replaceAll('_', '-')}`, `<${part.replaceAll('_', '-')}>`];
    const found = [...own, ...(FIELD_NAMES.get(part) ?? [])].find((name) => has(command, name));
    if (found !== undefined) return found;
  }
  return field;
}

/** The same for each field name in a sentence: of several words, or in quotes of code. */
export function namesInText(text: string, command: Command): string {
  return text.replaceAll(/`([a-z_]+)`|\b[a-z]+(?:_[a-z]+)+\b/g, (word, quoted: string | undefined) => {
    const field = quoted ?? word;
    const name = nameOfField(field, command);
    return name === field ? word : name;
  });
}

function has(command: Command, name: string): boolean {
  if (name.startsWith('--')) return command.options.some(({ long }) => long === name);
  return command.registeredArguments.some((argument) => `<${argument.name()}>` === name);
}
