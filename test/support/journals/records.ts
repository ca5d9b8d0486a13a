/** Records of operations that never were. */
import { asAddress } from '../../../src/domain/model/address.js';
import type { OperationRecord } from '../../../src/domain/operations/record.js';

export const id = (n: number) => `01ARZ3NDEKTSV4RRFF${String(n).padStart(8, '0')}`;

export function record(n: number, change: Partial<OperationRecord> = {}): OperationRecord {
  return {
    id: id(n),
    method: 'CopyImage',
    caller: 'someone',
    labels: { 'a\0b': '\0n5', $bigint: '7' },
    addresses: [asAddress('/a\nb')],
    spec: { sizeBytes: 2n ** 63n - 1n, attributes: {} },
    attempt: 1,
    createTime: 1000,
    detached: false,
    state: 'QUEUED',
    cancellable: true,
    eventTime: 1000,
    warnings: [],
    ...change,
  };
}
export const done = (n: number, change: Partial<OperationRecord> = {}) =>
  record(n, { state: 'SUCCEEDED', endTime: 2000, ...change });
