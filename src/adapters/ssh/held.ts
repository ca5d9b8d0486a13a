/**
 * Whether qemu holds a file of a far host, by the locks that it takes on single bytes
 * (block/file-posix.c), as on this host.
 */
import { shellWord } from './ssh.js';

/** How a script ends that found one. */
export const HELD = 49;

/**
 * Defines `held FILE BYTES`, true when a process has a lock on one of those bytes. /proc/locks
 * writes the number of a device in hexadecimal; stat tells it as the kernel packs it
 * (linux/kdev_t.h). Where there are no such lists nothing is held.
 */
const FUNCTION = [
  'held() { [ -r /proc/locks ] && s=$(stat -L -c "%d %i" -- "$1") || return 1; d=${s% *}',
  'f=$(printf "%02x:%02x:%s" $(( (d >> 8 & 0xfff) | (d >> 32 & 0xfffff000) )) $(( (d & 0xff) | (d >> 12 & 0xfff00) )) "${s#* }")',
  'while read -r _ k _ _ _ g a z; do [ "$k" = OFDLCK ] && [ "$g" = "$f" ] && [ "$z" != EOF ] || continue',
  '[ "$a" -ge 100 ] && [ "$z" -le 203 ] || continue',
  'for b in $2; do [ "$b" = any ] || { [ "$a" -le "$b" ] && [ "$b" -le "$z" ]; } || continue; return 0; done',
  'done </proc/locks; return 1; }',
].join('; ');

/** Writing, and resizing. */
const WRITERS = '101 103';

/** Ends the script when a process has the file open for writing. */
export function assertNoWriter(path: string): string[] {
  return [FUNCTION, `! held ${shellWord(path)} '${WRITERS}' || exit ${String(HELD)}`];
}

/**
 * Ends the script when a process has the file open: it would keep working with a file that has lost
 * its name.
 */
export function assertNoHolder(path: string): string[] {
  const file = shellWord(path);
  return [FUNCTION, `if [ -f ${file} ] && [ ! -h ${file} ] && held ${file} any; then exit ${String(HELD)}; fi`];
}
