import type { Chain, Layer } from '../ports/tools.js';

/** How a passphrase is named among the secrets of an operation, and to a tool. */
export const [OPENS, OPENS_SECOND] = ['sourcePassphrase', 'secondPassphrase'];

/** Its tables are encrypted, and a tool without the passphrase cannot read them. */
export function isClosed(chain: Chain): boolean {
  return chain.some(({ facts, opens }) => facts.encrypted && opens === undefined);
}

/**
 * A chain with what opens those of its layers that are encrypted; without a passphrase as it is.
 */
export function unlocked(chain: Chain, passphrase: Uint8Array | undefined, id = OPENS): Chain {
  const [top, ...below] = chain;
  return [opened(top, passphrase, id), ...below.map((layer) => opened(layer, passphrase, id))];
}

/** A layer with what opens it, if it is encrypted; without a passphrase as it is. */
export function opened(layer: Layer, passphrase: Uint8Array | undefined, id = OPENS): Layer {
  return passphrase === undefined || !layer.facts.encrypted ? layer : { ...layer, opens: { id, passphrase } };
}
