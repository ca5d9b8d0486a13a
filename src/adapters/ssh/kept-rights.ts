/**
 * Carries attributes beyond owner and mode of a replaced file on a remote host to its replacement:
 * as `carryRights` does on this host, with the tools there.
 */
import type { FarPart } from '../../domain/copy/remote.js';
import { shellWord } from './ssh.js';

/** An empty file, so that a tool's messages about it concern its attributes and not its content. */
const LIKE = 'rights';
const LOST = 'lost ';
/** Limit for a tool's messages. */
const MOST_BYTES = 500;

/** `has_list FILE`: GNU ls shows an access list by a `+` after the mode. */
const HAS_LIST = 'has_list() { case "$(ls -ld -- "$1")" in ??????????+*) return 0;; esac; return 1; }';

/**
 * Gives the part the access list, attributes, label and owner of the file with the target's name.
 * If `keepsMode`, also its mode without set-id bits, in `$m`, the mode that the part finally gets.
 * Prints what is lost in lines for `lostOf`. Capabilities are removed: they were given to the old
 * content. If the access list may be lost, the file's group gets no permissions: the mode may show
 * the mask.
 */
export function keepRightsLines({ target, folder }: FarPart, keepsMode: boolean): string[] {
  const [name, part, like] = [shellWord(target), shellWord(`${folder}/part`), shellWord(`${folder}/${LIKE}`)];
  // cp treats the label as part of the mode only if the kernel supports labels, and fails
  // elsewhere.
  const carry = (to: string) => `cp --attributes-only --preserve="$k" -- ${name} ${to}`;
  const capabilities = `cd ${shellWord(folder)} && { tar --xattrs -cf - ${LIKE}; getcap ${LIKE}; }`;
  return [
    HAS_LIST,
    `k=mode,xattr; if [ -e /sys/fs/selinux/enforce ]; then k=$k,context; fi`,
    `rm -f -- ${like}; : >${like}; w=; w=$(${carry(like)} 2>&1) || w="\${w:-cp failed}"`,
    `chmod 0600 -- ${like}; if (${capabilities}) 2>/dev/null | grep -q -e SCHILY.xattr.security.capability -e ' .*cap_'; then echo '${LOST}its capabilities, which were given to another content'; fi`,
    `${carry(part)} 2>/dev/null || :`,
    `set -- $(stat -c '000%a %u:%g' -- ${name})`,
    // Also if the owner is unchanged: chown removes capabilities.
    `chown -- "$2" ${part}`,
    ...(keepsMode ? ['m=${1#"${1%???}"}'] : []),
    `if [ -n "$w" ]; then printf '${LOST}%s\\n' "$(printf %s "$w" | tr '\\n' ' ' | head -c ${String(MOST_BYTES)})"`,
    ...(keepsMode
      ? [
          `if ! ls --version >/dev/null 2>&1 || { has_list ${name} && ! has_list ${part}; }; then m=\${m%??}0\${m#??}; fi`,
        ]
      : []),
    'fi',
  ];
}

/** What a script reported as lost attributes of a file. */
export function lostOf(answer: string): readonly string[] {
  return answer.split('\n').flatMap((line) => (line.startsWith(LOST) ? [line.slice(LOST.length)] : []));
}
