/**
 * Secrets that tests hand to daemons, and the logs of those daemons: the one must never be in the
 * other.
 */
import type { Message } from './stranger.js';

const FIELDS = ['passphrase', 'token', 'key', 'headers'];
/** Shorter ones are everywhere by chance. */
const SHORTEST = 5;

const secrets = new Set<string>();
const open = new Set<string>();
const leaks: string[] = [];

/**
 * Remembers what a request holds in fields that are secret. A test makes them up: a word that the
 * daemon says of its own, such as "secret", would be found in every log.
 */
export function noteSecrets(request: Message): void {
  for (const [name, value] of Object.entries(request)) {
    if (FIELDS.includes(name)) remember(value);
    else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) noteSecrets({ ...value });
  }
}

/** Says that a value is no secret, although tests put it into fields that are. */
export function noteOpen(value: string): void {
  open.add(value);
}

function remember(value: unknown): void {
  if (value instanceof Uint8Array) secrets.add(Buffer.from(value).toString('latin1'));
  else if (typeof value === 'string') secrets.add(value);
  else if (typeof value === 'object' && value !== null) Object.values(value).forEach(remember);
}

/**
 * Looks for every secret so far in a log, as it is and as encodings show it; what is found fails
 * the run.
 */
export function searchLog(name: string, text: string): void {
  leaks.push(...leaksIn(name, text));
}

/** The beginnings of the secrets that a log shows. */
export function leaksIn(name: string, text: string): string[] {
  return [...secrets]
    .filter((secret) => secret.length >= SHORTEST && !open.has(secret))
    .filter((secret) => {
      const bytes = Buffer.from(secret, 'latin1');
      const forms = [secret, bytes.toString('base64').replace(/=+$/, ''), bytes.toString('hex')];
      return forms.some((form) => text.includes(form));
    })
    .map((secret) => `${name}: ${secret.slice(0, 2)}…`);
}

/**
 * What `searchLog` has found, to be asked when every daemon of a file of tests has ended. Forgets
 * it and all secrets: in the next file, which may run in the same process, they would be words like
 * others.
 */
export function takeLeaks(): readonly string[] {
  secrets.clear();
  return leaks.splice(0);
}
