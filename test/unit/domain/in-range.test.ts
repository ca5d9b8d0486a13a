/**
 * Numbers, times and words are made so that they can be sent, whatever comes from the system, from
 * peers and from the journal.
 */
import assert from 'node:assert/strict';
import { Metadata, status } from '@grpc/grpc-js';
import { fromBinary, type DescMessage } from '@bufbuild/protobuf';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { MAX_UINT64, rest, scale, uint64 } from '../../../src/domain/model/numbers.js';
import { ProgressMeter } from '../../../src/domain/operations/progress.js';
import {
  restoreError,
  storeError,
  type Counters,
  type OperationRecord,
} from '../../../src/domain/operations/record.js';
import { ErrorInfo, RetryInfo } from '../../../src/gen/google/rpc/error_details.js';
import { Status } from '../../../src/gen/google/rpc/status.js';
import { Operation, OperationEvent, Progress } from '../../../src/gen/hostler/v1/operation.js';
import { operation, shownEvent } from '../../../src/handlers/operation-answers.js';
import { storedStatus, toStatus } from '../../../src/handlers/status.js';
import { farFailure } from '../../../src/adapters/peers/far-status.js';
import { wireError } from '../../../src/server/service-call.js';
import { durationOf, timeOfMs, timeOfNs, timeText } from '../../../src/protocol/times.js';
import { numbersOf } from '../../support/answers.js';
import { answerOf } from '../../support/descriptors.js';
import { record } from '../../support/journals/records.js';

const HUGE = 2n ** 200n;
const EVENT = answerOf('OperationService/WatchOperation');

describe('progress', () => {
  const fields: readonly (keyof Counters)[] = ['doneBytes', 'totalBytes', 'skippedBytes', 'doneItems', 'totalItems'];
  const values = [-HUGE, -1n, 0n, 1n, 2n ** 63n, MAX_UINT64, MAX_UINT64 + 1n, HUGE];

  it('can be sent, whatever was counted and whatever the clock does', () => {
    const times = [0, 1000, 999, 5000, 1e15, -1e15, 4000.5, 4600.7];
    for (const field of fields)
      for (const before of values)
        for (const after of values) {
          let now = 0;
          const meter = new ProgressMeter(() => now);
          for (const [index, time] of times.entries()) {
            now = time;
            const counters = { doneBytes: 5n, totalBytes: 10n, skippedBytes: 0n, doneItems: 1n, totalItems: 2n };
            const made = meter.measure({ ...counters, [field]: index % 2 === 0 ? before : after });
            const event = shownEvent(record(1, { state: 'RUNNING', progress: made }));
            assert.deepEqual(event.notShown, []);
            const progress = Progress.decode(Progress.encode(event.progress ?? raise()).finish());
            assert.ok((progress.totalBytes ?? 0n) >= progress.doneBytes, `${field} ${String(before)} ${String(after)}`);
            assert.ok((progress.totalItems ?? 0n) >= (progress.doneItems ?? 0n));
            if (progress.eta !== undefined) assert.ok(progress.eta.seconds >= 0n && progress.eta.nanos >= 0);
          }
        }
  });
  it('of a transfer that begins again has no rate until there is one', () => {
    let now = 0;
    const meter = new ProgressMeter(() => now);
    const at = (time: number, doneBytes: bigint) => {
      now = time;
      return meter.measure({ doneBytes, totalBytes: 1_000_000n, skippedBytes: 0n });
    };
    at(0, 0n);
    assert.equal(at(1000, 500_000n).bytesPerSecond, 500_000n);
    assert.equal(at(1200, 1000n).bytesPerSecond, undefined);
    assert.equal(at(2200, 101_000n).bytesPerSecond, 100_000n);
  });
  it('of more than was announced is all of it, and no time is left', () => {
    let now = 0;
    const meter = new ProgressMeter(() => now);
    meter.measure({ doneBytes: 0n, totalBytes: 100n, skippedBytes: 0n });
    now = 1000;
    const { doneBytes, totalBytes, etaMs } = meter.measure({ doneBytes: 150n, totalBytes: 100n, skippedBytes: 0n });
    assert.deepEqual([doneBytes, totalBytes, etaMs], [150n, 150n, 0]);
  });
});

describe('counts and sizes', () => {
  it('are from 0 to 2^64-1', () => {
    assert.deepEqual([-HUGE, -1n, 0n, MAX_UINT64, HUGE].map(uint64), [0n, 0n, 0n, MAX_UINT64, MAX_UINT64]);
    assert.deepEqual([rest(5n, 3n), rest(3n, 5n), rest(0n, HUGE)], [2n, 0n, 0n]);
  });
  it('of a fraction that is none are nothing, or all', () => {
    const fractions = [NaN, -1, 0, 0.5, 1, 1.5, Infinity, -Infinity];
    assert.deepEqual(
      fractions.map((fraction) => scale(10n, fraction)),
      [0n, 0n, 0n, 5n, 10n, 10n, 10n, 0n],
    );
  });
  it('of what was only begun are less than none of it', () => {
    const done = [0, 0.3, 0.5, 1].map((fraction) => scale(10n, fraction, 4n));
    assert.deepEqual(done, [0n, 0n, 1n, 6n]);
  });
});

describe('times', () => {
  const day = 86_400_000_000_000n;
  const cases: readonly (readonly [string, bigint, { seconds: bigint; nanos: number } | undefined])[] = [
    ['a nanosecond before 1970', -1n, { seconds: -1n, nanos: 999_999_999 }],
    ['1.5 s before 1970', -1_500_000_000n, { seconds: -2n, nanos: 500_000_000 }],
    ['2 s before 1970', -2_000_000_000n, { seconds: -2n, nanos: 0 }],
    ['the first of year 1', -62_135_596_800_000_000_000n, { seconds: -62_135_596_800n, nanos: 0 }],
    ['before year 1', -62_135_596_800_000_000_001n, undefined],
    ['the last of 9999', 253_402_300_799_999_999_999n, { seconds: 253_402_300_799n, nanos: 999_999_999 }],
    ['the year 10000', 253_402_300_800_000_000_000n, undefined],
    ['beyond what Date knows', 275_761n * 365n * day, undefined],
    ['beyond 64 bits', HUGE, undefined],
  ];
  for (const [title, ns, time] of cases)
    it(`${title}: ${time === undefined ? 'unset' : 'exact'}`, () => {
      assert.deepEqual(timeOfNs(ns), time);
      if (time !== undefined) assert.doesNotThrow(() => timeText(time));
    });
  it('of milliseconds that are none are unset', () => {
    for (const ms of [NaN, Infinity, -Infinity, 8.64e15 + 1, undefined]) assert.equal(timeOfMs(ms), undefined);
    assert.deepEqual(timeOfMs(-0.5), { seconds: -1n, nanos: 999_000_000 });
  });
  it('lengths of time are never negative, whole, and within what Duration holds', () => {
    for (const ms of [-1, -Infinity, NaN, 0.000_123, 1.5, 1e300, Infinity, Number.MAX_SAFE_INTEGER]) {
      const { seconds, nanos } = durationOf(ms);
      assert.ok(seconds >= 0n && seconds <= 315_576_000_000n && Number.isInteger(nanos) && nanos >= 0, String(ms));
    }
  });
});

describe('an operation that cannot be shown whole', () => {
  const odd = (change: object): OperationRecord => record(1, change);
  const PLANTED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    progress: { progress: { doneBytes: -1n, skippedBytes: 0n } },
    pid: { pid: -7 },
    queue_position: { queuePosition: 1.5 },
    state: { state: 'FROZEN' },
    phase: { phase: '__proto__' },
    result: { result: { kind: 'teleport', place: 1 } },
    error: { error: { reason: 'NO_SPACE', message: 5, facts: {}, violations: [] } },
  };
  for (const [field, change] of Object.entries(PLANTED))
    it(`says that ${field} is not shown, and shows the rest`, () => {
      const event = shownEvent(odd({ eventTime: 5000, ...change }));
      assert.deepEqual(event.notShown, [field]);
      const seen = fromBinary(EVENT, OperationEvent.encode(event).finish());
      assert.deepEqual(Reflect.get(seen, 'operationId'), record(1).id);
      const whole = operation(odd(change), undefined);
      assert.deepEqual([whole.last?.notShown, whole.notShown], [[field], []]);
      assert.doesNotThrow(() => Operation.encode(whole).finish());
    });
  it('of fields of the operation itself too', () => {
    const change = { attempt: NaN, labels: { a: 1 }, addresses: 7, warnings: null, caller: {}, createTime: 'x' };
    const whole = operation(odd(change), { bytes: -5n, expireMs: NaN });
    assert.deepEqual(whole.notShown, ['caller', 'labels', 'addresses', 'attempt', 'warnings']);
    assert.doesNotThrow(() => Operation.encode(whole).finish());
  });
  it('no number of any result takes the rest along', () => {
    const { fields } = messageNamed(messageNamed(EVENT, 'result'), undefined);
    for (const field of fields) {
      if (field.fieldKind !== 'message' || numbersOf(field.message).length === 0) continue;
      const numbers = Object.fromEntries(field.message.fields.map(({ localName }) => [localName, -1n]));
      const event = shownEvent(odd({ state: 'SUCCEEDED', result: { kind: field.localName, ...numbers } }));
      assert.deepEqual(event.notShown, ['result'], field.localName);
      assert.doesNotThrow(() => OperationEvent.encode(event).finish());
    }
  });
});

describe('a reason of another version', () => {
  const stored = (reason: string, code?: string) =>
    storedStatus({ reason, message: 'm', facts: {}, violations: [], ...(code === undefined ? {} : { code }) });
  const shown = ({ code, details }: Status) => [status[code], ErrorInfo.decode(details[0]?.value ?? raise()).reason];

  it('in a record is shown as it is, with its code', () => {
    assert.deepEqual(shown(stored('IMAGE_ON_FIRE', 'DATA_LOSS')), ['DATA_LOSS', 'IMAGE_ON_FIRE']);
    assert.deepEqual(shown(stored('IMAGE_ON_FIRE')), ['UNKNOWN', 'IMAGE_ON_FIRE']);
    assert.deepEqual(shown(stored('IMAGE_ON_FIRE', 'ON_FIRE')), ['UNKNOWN', 'IMAGE_ON_FIRE']);
    assert.deepEqual(shown(stored('IMAGE_ON_FIRE', 'toString')), ['UNKNOWN', 'IMAGE_ON_FIRE']);
  });
  it('is kept when it is stored again', () => {
    const again = storeError(restoreError({ reason: 'NEW', code: 'ABORTED', message: 'm', facts: {}, violations: [] }));
    assert.deepEqual([again.reason, again.code], ['NEW', 'ABORTED']);
  });
  for (const word of [
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '',
    'no word',
    'X'.repeat(99),
  ])
    it(`${JSON.stringify(word.slice(0, 20))} is none, in a record and from a peer`, () => {
      assert.deepEqual(shown(stored(word, 'INTERNAL')), ['UNKNOWN', 'UNKNOWN_REASON']);
      const { reason } = farFailure('far', serviceError(13, detailed(word)));
      assert.equal(reason, 'REMOTE_UNREACHABLE');
    });
  it('from a peer is shown as it is, with the code of the call', () => {
    const error = farFailure('far', serviceError(9, detailed('IMAGE_ON_FIRE')));
    assert.deepEqual(shown(toStatus(error)), ['FAILED_PRECONDITION', 'IMAGE_ON_FIRE']);
    assert.deepEqual(shown(toStatus(farFailure('far', serviceError(9, detailed('NO_SPACE'))))), [
      'RESOURCE_EXHAUSTED',
      'NO_SPACE',
    ]);
  });
  const NO_STATUS = {
    'no Status': [0xff, 0xff, 0xff],
    'cut off': [0x1a, 0x7f, 1],
    'empty bytes': [],
    'a group': [0x0b],
  };
  for (const [title, bytes] of Object.entries(NO_STATUS))
    it(`details of a peer that are ${title} end the call only`, () => {
      assert.equal(farFailure('far', serviceError(13, Buffer.from(bytes))).reason, 'REMOTE_UNREACHABLE');
    });
});

describe('what an error says', () => {
  it('asks nobody to wait for a time that cannot be sent', () => {
    for (const ms of [0.000_123_45, -5, NaN, Infinity, 1e300, 2 ** 53, 1499.7]) {
      const { details } = toStatus(new HostlerError('SOURCE_UNAVAILABLE', 'm', { retryAfterMs: ms }));
      const info = details.find(({ typeUrl }) => typeUrl.endsWith('RetryInfo'));
      assert.equal(info === undefined, Number.isNaN(ms), String(ms));
      const delay = info && RetryInfo.decode(info.value).retryDelay;
      assert.ok(delay === undefined || (delay.seconds <= 86_400n && delay.nanos >= 0), String(ms));
    }
  });
  it('fits into the 8 KiB of headers that clients take', () => {
    for (const text of ['ü'.repeat(9000), '\0'.repeat(9000), '\ud800'.repeat(9000), '😀'.repeat(9000)]) {
      const facts = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`${String(n)}${text}`, text]));
      const violations = Array.from({ length: 99 }, () => ({ field: text, description: text }));
      const { details, metadata } = wireError(
        new HostlerError('NO_SPACE', text, { facts, violations, retryAfterMs: 1 }),
      );
      const packed = metadata.get('grpc-status-details-bin')[0] as Buffer;
      assert.ok(encodeURI(details).length + packed.toString('base64').length < 7900, text.slice(0, 2));
    }
  });
});

function detailed(reason: string): Buffer {
  const value = Buffer.from(ErrorInfo.encode({ reason, domain: 'hostler', metadata: {} }).finish());
  const details = [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value }];
  return Buffer.from(Status.encode({ code: 13, message: '', details }).finish());
}

function serviceError(code: number, packed: Buffer): Error {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', packed);
  return Object.assign(new Error('x'), { code, details: 'x', metadata });
}

/** The message of a field; without a name, the message whose fields are the members of a oneof. */
function messageNamed(message: DescMessage, name: string | undefined): DescMessage {
  if (name === undefined) return message;
  const found = message.fields.find((field) => field.localName === name);
  return found?.fieldKind === 'message' ? found.message : raise();
}

function raise(): never {
  throw new Error('not there');
}
