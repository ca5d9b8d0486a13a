/**
 * Every number of every answer, at the borders of what its field holds and beyond: sent exactly, or
 * an error like any other.
 */
import assert from 'node:assert/strict';
import { fromBinary } from '@bufbuild/protobuf';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { CommandServiceService } from '../../../src/gen/hostler/v1/command_service.js';
import { FileServiceService } from '../../../src/gen/hostler/v1/file_service.js';
import { HostInfoServiceService } from '../../../src/gen/hostler/v1/host_info_service.js';
import { OperationServiceService } from '../../../src/gen/hostler/v1/operation_service.js';
import { encoder, MAX_ANSWER_BYTES } from '../../../src/server/encode.js';
import { WIRE_IMAGE_SERVICE } from '../../../src/protocol/bulk-messages.js';
import { BORDERS, bytesTo, kindOf, numbersOf, pathText, plant, valueAt } from '../../support/answers.js';
import { answerOf } from '../../support/descriptors.js';

interface Served {
  readonly path: string;
  readonly responseSerialize: (answer: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => object;
}

const SERVED: readonly Served[] = [
  WIRE_IMAGE_SERVICE,
  OperationServiceService,
  HostInfoServiceService,
  FileServiceService,
  CommandServiceService,
].flatMap((service) => Object.values<Served>(service as unknown as Record<string, Served>));
/** One RPC for each type of answer. */
const TYPES = new Map(
  SERVED.map((served) => {
    const type = answerOf(served.path.replace('/hostler.v1.', ''));
    return [type.typeName, { ...served, type }];
  }),
);

describe('answers as bytes', () => {
  let numbers = 0;
  for (const [name, { type, responseSerialize, responseDeserialize }] of TYPES) {
    const encode = encoder(name, responseSerialize as (answer: unknown) => Buffer);
    const paths = numbersOf(type);
    numbers += paths.length;
    if (paths.length === 0) continue;
    it(`${name}: ${String(paths.length)} numbers at their borders`, () => {
      for (const path of paths) {
        const { held, beyond } = BORDERS[kindOf(path)];
        const planted = (value: unknown) => {
          const answer = responseDeserialize(Buffer.from(bytesTo(type, path)));
          plant(answer, path, value);
          return answer;
        };
        for (const value of held) {
          const bytes = encode(planted(value));
          assert.equal(valueAt(type, fromBinary(type, bytes), path), value, pathText(path));
        }
        for (const value of beyond)
          assert.throws(
            () => encode(planted(value)),
            (error) => error instanceof HostlerError && error.reason === 'BUG' && error.cause instanceof Error,
            `${pathText(path)} = ${String(value)}`,
          );
      }
    });
  }
  it('covers all services', () => {
    assert.ok(TYPES.size > 30, String(TYPES.size));
    assert.ok(numbers > 150, String(numbers));
  });
  it('one that is longer than clients take is ANSWER_TOO_LARGE, one that is as long is sent', () => {
    const long = (length: number) => encoder('rpc', () => Buffer.alloc(length))({});
    assert.equal(long(MAX_ANSWER_BYTES).length, MAX_ANSWER_BYTES);
    assert.throws(
      () => long(MAX_ANSWER_BYTES + 1),
      (error) => error instanceof HostlerError && error.reason === 'ANSWER_TOO_LARGE',
    );
  });
});
