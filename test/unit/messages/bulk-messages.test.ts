import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { DownloadImageResponse } from '../../../src/gen/hostler/v1/image_service.js';
import { ImageServiceService, UploadImageRequest } from '../../../src/gen/hostler/v1/image_service.js';
import { WIRE_IMAGE_SERVICE } from '../../../src/protocol/bulk-messages.js';

const SIZES = [0, 1, 127, 128, 16_384, 262_144, 2_097_152];

describe('messages with an image’s bytes', () => {
  const [lean, generated] = [WIRE_IMAGE_SERVICE, ImageServiceService];

  for (const size of SIZES)
    it(`${String(size)} bytes are on the wire what the generated code makes of them`, () => {
      const data = randomBytes(size);
      const up: UploadImageRequest = { content: { $case: 'data', value: data } };
      const down: DownloadImageResponse = { content: { $case: 'data', value: data } };
      const [sent, answered] = [lean.uploadImage.requestSerialize(up), lean.downloadImage.responseSerialize(down)];
      assert.ok(sent.equals(generated.uploadImage.requestSerialize(up)));
      assert.ok(answered.equals(generated.downloadImage.responseSerialize(down)));
      assert.deepEqual(lean.uploadImage.requestDeserialize(sent), up);
      assert.deepEqual(lean.downloadImage.responseDeserialize(answered), down);
    });

  it('everything else goes as generated', () => {
    for (const message of [
      { content: undefined },
      { content: { $case: 'header', value: { uploadId: 'x', offset: 7n, bandwidthBytesPerSecond: undefined } } },
      { content: { $case: 'zeroBytes', value: 2n ** 40n } },
      { content: { $case: 'checksum', value: { algorithm: 'sha256', digest: 'ab' } } },
    ] satisfies UploadImageRequest[]) {
      const sent = lean.uploadImage.requestSerialize(message);
      assert.ok(sent.equals(generated.uploadImage.requestSerialize(message)));
      assert.deepEqual(lean.uploadImage.requestDeserialize(sent), message);
    }
  });

  it('data with something behind it, and what is broken, is the generated code’s matter', () => {
    const data = generated.uploadImage.requestSerialize({ content: { $case: 'data', value: Buffer.from('x') } });
    const zeros = generated.uploadImage.requestSerialize({ content: { $case: 'zeroBytes', value: 5n } });
    const both = Buffer.concat([data, zeros]);
    assert.deepEqual(lean.uploadImage.requestDeserialize(both), UploadImageRequest.decode(both));
    for (const broken of [data.subarray(0, 2), data.subarray(0, 1), Buffer.from([0xff])])
      assert.throws(() => lean.uploadImage.requestDeserialize(broken));
  });
});
