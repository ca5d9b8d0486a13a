/**
 * Scripts that run on a remote host while a file there is served over NBD. POSIX shell and
 * coreutils; every word from a caller is quoted.
 */
import type { Places } from '../../domain/access/role.js';
import { dirname } from '../../domain/model/address.js';
import { BLOCK_BYTES } from '../../domain/model/block-digest.js';
import type { FarAttributes, FarPart } from '../../domain/copy/remote.js';
import { SECTOR_BYTES, roundUp } from '../../domain/model/size.js';
import { assertFile, lookLine, prepareLines, publishLines, withinLines } from './far-shell.js';
import { beginLine } from './answers.js';
import { assertNoWriter } from './held.js';
import { NBD_ENV } from '../qemu/nbd-args.js';
import { escapeOption } from '../qemu/qemu-nodes.js';
import { shellWord } from './ssh.js';

/** Name of the export; every client of the remote socket has come through our ssh. */
export const EXPORT_NAME = 'hostler';
export const PUBLISH = 'p';
const ENV = Object.entries(NBD_ENV)
  .map(([name, value]) => `${name}=${value}`)
  .join(' ');
const MAX_CONNECTIONS = 16;
/** Steps of 50 ms until qemu-nbd serves. */
const START_STEPS = 200;

export interface FarNbdServer {
  /** Folder of the socket: a short path, private. */
  readonly folder: string;
  /** The script ends after this time without a heartbeat. */
  readonly silenceSeconds: number;
  /** Starts the script's answer and reports that it serves. */
  readonly mark: string;
}

/** The line by which a script reports that it serves. */
export function readyLine(mark: string): string {
  return `${mark}-ready`;
}

/** Serves a file for reading; prints the state of the file before and after. */
export function serveScript(source: string, shared: boolean, serving: FarNbdServer, places: Places): string {
  const look = lookLine(source);
  return [
    beginLine(serving.mark),
    ...withinLines(source, places, 41),
    ...assertFile(source),
    ...(shared ? [] : assertNoWriter(source)),
    ...begin(serving, []),
    look,
    ...serve(source, '--read-only ', shared, serving),
    `while ${hears(serving)}; do :; done`,
    ...(shared ? [] : assertNoWriter(source)),
    look,
  ].join('; ');
}

/** Makes a private folder with the part, serves it for writing, and publishes it on command. */
export function draftScript(
  part: FarPart,
  { lengthBytes, overwrite }: { readonly lengthBytes: bigint; readonly overwrite: boolean },
  attributes: FarAttributes,
  serving: FarNbdServer,
  places: Places,
): string {
  const path = `${part.folder}/part`;
  return [
    beginLine(serving.mark),
    ...withinLines(dirname(part.target), places, 43),
    ...begin(serving, [part.folder]),
    ...prepareLines(part, overwrite),
    `truncate -s ${String(roundUp(lengthBytes, SECTOR_BYTES))} -- ${shellWord(path)} || exit 1`,
    ...serve(path, '', false, serving),
    `while ${hears(serving)}; do [ "$b" != ${PUBLISH} ] || break; done`,
    `[ "$b" = ${PUBLISH} ] || exit 1`,
    'end',
    `truncate -s ${String(lengthBytes)} -- ${shellWord(path)} || exit 1`,
    ...publishLines(part, attributes, overwrite),
  ].join('; ');
}

/** Prints digests of the blocks whose numbers and lengths it reads, one on each line. */
export function digestScript(path: string): string {
  const dd = `dd if=${shellWord(path)} bs=${String(BLOCK_BYTES)} skip="$n" count=1 2>/dev/null`;
  return `while read -r n c; do ${dd} | head -c "$c" | sha256sum || exit 1; done`;
}

/**
 * Cleanup for every way that the script can end: the server, the folder of its socket, and other
 * private folders.
 */
function begin({ folder }: FarNbdServer, also: readonly string[]): string[] {
  const gone = [folder, ...also].map(shellWord).join(' ');
  return [
    'p=',
    'end() { [ -z "$p" ] || { kill "$p"; wait "$p"; p=; } 2>/dev/null; }',
    `bye() { end; rm -rf -- ${gone}; }`,
    `umask 077`,
    `mkdir -m 0700 -- ${shellWord(folder)} || exit 1`,
    'trap bye EXIT',
    "trap 'exit 1' HUP INT TERM PIPE",
  ];
}

function serve(path: string, options: string, shared: boolean, { folder, mark }: FarNbdServer): string[] {
  const locking = shared ? ',file.locking=off' : '';
  const image = `driver=raw,file.driver=file${locking},file.filename=${escapeOption(path)}`;
  const within = (name: string) => shellWord(`${folder}/${name}`);
  const [socket, log, pid] = [within('s'), within('log'), within('pid')];
  const words = `${options}--persistent --shared=${String(MAX_CONNECTIONS)} --export-name=${EXPORT_NAME} --socket=${socket} --pid-file=${pid}`;
  return [
    'command -v qemu-nbd >/dev/null || exit 46',
    // `&` takes the place of `;`: the script must not end between the start and the pid.
    `${ENV} qemu-nbd ${words} --image-opts ${shellWord(image)} </dev/null >/dev/null 2>${log} & p=$!`,
    // The socket exists before the image is opened; the pid file is written when everything works.
    `n=0; until [ -s ${pid} ]; do n=$((n+1)); kill -0 "$p" 2>/dev/null && [ $n -lt ${String(START_STEPS)} ] || { cat ${log} >&2; exit 47; }; sleep 0.05; done`,
    `echo ${readyLine(mark)}`,
  ];
}

/** Reads one letter at a time, for as long as the server runs. */
function hears({ silenceSeconds }: FarNbdServer): string {
  const letter = `timeout ${String(silenceSeconds)} dd bs=1 count=1 2>/dev/null`;
  return `b=$(${letter}); [ -n "$b" ] && kill -0 "$p" 2>/dev/null`;
}
