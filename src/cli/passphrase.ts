/**
 * Passphrases come from files or standard input: an argument would be in the process list and in
 * the shell's history.
 */
import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from 'commander';
import { systemProblem } from './local-file.js';

const STANDARD_INPUT = '-';
const NEWLINE = '\n'.charCodeAt(0);

/** The flag of each request that opens an image: `passphraseFile`. */
export interface PassphraseFlags {
  readonly passphraseFile?: Buffer;
}

/** `--passphrase-file`, or the same with a prefix; `what` describes the passphrase. */
export function passphraseFile(what = 'opens the encrypted image, and encrypted layers below it', name = ''): Option {
  return new Option(
    `--${name}passphrase-file <file>`,
    `file with the passphrase that ${what}; - is standard input; one newline at its end is not part of it`,
  ).argParser(readPassphrase);
}

/** The field of a request. */
export function secretOf(passphrase: Buffer | undefined) {
  return passphrase === undefined ? undefined : { passphrase };
}

/** The same for an image that is created. */
export function encryptionOf(passphrase: Buffer | undefined) {
  return passphrase === undefined ? undefined : { format: 'luks', passphrase };
}

/** Only one option can read standard input: a second one finds nothing. */
function readPassphrase(path: string): Buffer {
  const passphrase = withoutNewline(read(path));
  if (passphrase.length === 0) throw new InvalidArgumentError('It holds no passphrase.');
  return passphrase;
}

function read(path: string): Buffer {
  try {
    return readFileSync(path === STANDARD_INPUT ? process.stdin.fd : path);
  } catch (error) {
    throw new InvalidArgumentError(systemProblem(error, path) ?? String(error));
  }
}

function withoutNewline(content: Buffer): Buffer {
  return content.at(-1) === NEWLINE ? content.subarray(0, -1) : content;
}
