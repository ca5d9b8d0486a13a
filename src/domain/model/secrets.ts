/**
 * Passphrases by their role. Kept apart from the spec: they are in no journal, comparison or log.
 */
export type Secrets = Readonly<Record<string, Uint8Array>>;
