import type { Chain } from '../ports/tools.js';

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
  if (passphrase === undefined) return chain;
  const [top, ...below] = chain.map((layer) =>
    layer.facts.encrypted ? { ...layer, opens: { id, passphrase } } : layer,
  );
  return top === undefined ? chain : [top, ...below];
}
