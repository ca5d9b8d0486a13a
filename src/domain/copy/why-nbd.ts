import type { FarSpec } from './copy-spec.js';

/** Why the engine was chosen, for the plan and the result. */
export function whyNbd({ engine, remote: { host } }: FarSpec, lengthBytes: bigint, dataBytes: bigint): string {
  if (engine === 'NBD_TLS') return 'NBD_TLS was asked for';
  return `${host} has an agent: ${dataShare(lengthBytes, dataBytes)} is pulled over NBD with TLS, and resumes when the connection breaks`;
}

/** The share of data in a file, as text. */
export function dataShare(lengthBytes: bigint, dataBytes: bigint): string {
  if (dataBytes >= lengthBytes) return 'the file, which has no holes,';
  return `the data, ${String((dataBytes * 100n) / lengthBytes)} % of the file, the rest being holes,`;
}
