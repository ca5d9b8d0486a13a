/** Many results in one stream, several in each message. */
import { HostlerError } from '../../domain/model/errors.js';
import { batchImageInfo, type BatchPorts, type DescribedOne } from '../../domain/verbs/batch-image-info.js';
import type { BatchGetImageInfoResponse } from '../../gen/hostler/v1/image_service.js';
import { ImageDescription } from '../../gen/hostler/v1/inventory.js';
import type { ServerStream } from '../handler.js';
import { imageInfo } from '../image-answers.js';
import { parseBatch } from '../image-requests.js';
import { toStatus } from '../status.js';

export type BatchHandlerPorts = BatchPorts;

/** Limits of one message: as much as is serialised in some milliseconds. */
const [MAX_RESULTS, MAX_BYTES] = [128, 256 * 1024];
/** Limit of one result, so that its message is far below what clients accept. */
const MAX_RESULT_BYTES = 1024 * 1024;
/** Longer results are measured. */
const MUCH_BYTES = 16 * 1024;
/** Of an image's fields but the texts of any length, and of a character. */
const [OTHER_FIELDS_BYTES, UTF8_BYTES] = [512, 3];

/** BatchGetImageInfo: parse, one domain call, results collected into messages. */
export function batchHandler(ports: BatchHandlerPorts): ServerStream<unknown, BatchGetImageInfoResponse> {
  return async function* results(request, caller) {
    let [message, bytes, index] = [new Array<ImageDescription>(), 0, 0];
    for await (const some of batchImageInfo(parseBatch(request), caller, ports))
      for (const each of some) {
        const [result, length] = measured(index++, each);
        if (message.length === MAX_RESULTS || (message.length > 0 && bytes + length > MAX_BYTES)) {
          yield { results: message };
          [message, bytes] = [[], 0];
        }
        message.push(result);
        bytes += length;
      }
    yield { results: message };
  };
}

/** With its length in bytes, or with more than that where more does not matter. */
function measured(index: number, described: DescribedOne): readonly [ImageDescription, number] {
  const result = resultOf(index, described);
  const most = mostBytes(described);
  if (most < MUCH_BYTES) return [result, most];
  const { length } = ImageDescription.encode(result).finish();
  return length <= MAX_RESULT_BYTES ? [result, length] : measured(index, { error: tooLong(length) });
}

/** Not less than its length; a result is not encoded for this, which would be done twice then. */
function mostBytes({ images }: DescribedOne): number {
  if (images === undefined) return MUCH_BYTES;
  let most = 0;
  for (const {
    address,
    backingFile = '',
    fullBackingFile = '',
    backingFormat = '',
    dataFile = '',
    ...info
  } of images) {
    if (info.snapshots.length > 0 || info.findings.length > 0) return MUCH_BYTES;
    const texts = address.length + 2 * backingFile.length + fullBackingFile.length + backingFormat.length;
    most += OTHER_FIELDS_BYTES + UTF8_BYTES * (texts + dataFile.length);
  }
  return most;
}

function resultOf(index: number, { images, error }: DescribedOne): ImageDescription {
  if (error !== undefined) return { index, outcome: { $case: 'error', value: toStatus(error) }, backingChain: [] };
  const [info, ...chain] = images;
  return { index, outcome: { $case: 'info', value: imageInfo(info) }, backingChain: chain.map(imageInfo) };
}

function tooLong(length: number): HostlerError {
  const facts = { bytes: String(length), allowed: String(MAX_RESULT_BYTES) };
  return new HostlerError('ANSWER_TOO_LARGE', `this image takes ${facts.bytes} bytes: ask for it alone`, { facts });
}
