import type { Chain, Layer } from '../ports/tools.js';

/** Ids of the passphrases, among the secrets of an operation and for a tool. */
export const [OPENS, OPENS_SECOND] = ['sourcePassphrase', 'secondPassphrase'];

/** The tables are encrypted, and a tool without the passphrase cannot read them. */
export function isClosed(chain: Chain): boolean {
  return chain.some(({ facts, opens }) => facts.encrypted && opens === undefined);
}

/** A chain with the passphrase for its encrypted layers; unchanged without a passphrase. */
export function unlocked(chain: Chain, passphrase: Uint8Array | undefined, id = OPENS): Chain {
  const [top, ...below] = chain;
  return [opened(top, passphrase, id), ...below.map((layer) => opened(layer, passphrase, id))];
}

/** A layer with its passphrase, if it is encrypted; unchanged without a passphrase. */
export function opened(layer: Layer, passphrase: Uint8Array | undefined, id = OPENS): Layer {
  return passphrase === undefined || !layer.facts.encrypted ? layer : { ...layer, opens: { id, passphrase } };
}
