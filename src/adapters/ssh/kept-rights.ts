/**
 * What a file that is replaced on a far host has beside owner and mode, for the one that gets its
 * name: as `carryRights` does on this host, by the tools that are there.
 */
import type { FarPart } from '../../domain/copy/remote.js';
import { shellWord } from './ssh.js';

/** Empty, so that what a tool says of it speaks of its attributes and not of what is in it. */
const LIKE = 'rights';
const LOST = 'lost ';
/** Of a tool's words. */
const MOST_BYTES = 500;

/** `has_list FILE`: GNU's ls shows an access list behind the mode. */
const HAS_LIST = 'has_list() { case "$(ls -ld -- "$1")" in ??????????+*) return 0;; esac; return 1; }';

/**
 * Gives the part the access list, attributes, label and owner of the file that has its name; `$m`,
 * the mode that it gets in the end, is that file's too if `keepsMode`, without set-id bits. Says
 * what it has not in lines that `lostOf` reads. Capabilities go: they were given to another
 * content. Where its access list may be lost the file's group gets nothing: the mode may show its
 * mask.
 */
export function keepRightsLines({ target, folder }: FarPart, keepsMode: boolean): string[] {
  const [name, part, like] = [shellWord(target), shellWord(`${folder}/part`), shellWord(`${folder}/${LIKE}`)];
  // cp takes the label for a part of the mode only where the kernel knows labels, and fails
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
    // Also to the owner that it has: what is owned anew has no capabilities.
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

/** What a script has said that a file has lost. */
export function lostOf(answer: string): readonly string[] {
  return answer.split('\n').flatMap((line) => (line.startsWith(LOST) ? [line.slice(LOST.length)] : []));
}
