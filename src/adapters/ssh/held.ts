/**
 * Whether qemu has a file of a remote host open, by its locks on single bytes (block/file-posix.c),
 * as on this host.
 */
import { shellWord } from './ssh.js';

/** Exit code of a script that found such a lock. */
export const HELD = 49;

/**
 * Defines `held FILE BYTES`, true if a process has a lock on one of those bytes. /proc/locks writes
 * device numbers in hexadecimal; stat prints them in the kernel's packed form (linux/kdev_t.h). If
 * /proc/locks cannot be read, the result is false.
 */
const FUNCTION = [
  'held() { [ -r /proc/locks ] && s=$(stat -L -c "%d %i" -- "$1") || return 1; d=${s% *}',
  'f=$(printf "%02x:%02x:%s" $(( (d >> 8 & 0xfff) | (d >> 32 & 0xfffff000) )) $(( (d & 0xff) | (d >> 12 & 0xfff00) )) "${s#* }")',
  'while read -r _ k _ _ _ g a z; do [ "$k" = OFDLCK ] && [ "$g" = "$f" ] && [ "$z" != EOF ] || continue',
  '[ "$a" -ge 100 ] && [ "$z" -le 203 ] || continue',
  'for b in $2; do [ "$b" = any ] || { [ "$a" -le "$b" ] && [ "$b" -le "$z" ]; } || continue; return 0; done',
  'done </proc/locks; return 1; }',
].join('; ');

/** Permissions for writing and resizing. */
const WRITERS = '101 103';

/** Ends the script if a process has the file open for writing. */
export function assertNoWriter(path: string): string[] {
  return [FUNCTION, `! held ${shellWord(path)} '${WRITERS}' || exit ${String(HELD)}`];
}

/**
 * Ends the script if a process has the file open: it would continue to use the file after the
 * replacement.
 */
export function assertNoHolder(path: string): string[] {
  const file = shellWord(path);
  return [FUNCTION, `if [ -f ${file} ] && [ ! -h ${file} ] && held ${file} any; then exit ${String(HELD)}; fi`];
}
