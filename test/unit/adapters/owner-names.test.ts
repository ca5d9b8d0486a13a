import assert from 'node:assert/strict';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { parseChown } from '../../../src/handlers/file-requests.js';

const request = (owner: string) => ({
  ...{ path: '/images/a', owner, recursive: false, detach: false, planOnly: false, requestId: '', labels: {} },
});

describe('owners of Chown', () => {
  for (const owner of ['\0', 'a\0b', 'a:\0', ':b\0', '-x', 'a:-x', 'a b', 'a:b:c', ':', '4294967295', 'x'.repeat(257)])
    it(`${JSON.stringify(owner.slice(0, 20))} is INVALID_FIELD, and no tool is asked`, () => {
      assert.throws(
        () => parseChown(request(owner)),
        (error) => error instanceof HostlerError && error.reason === 'INVALID_FIELD',
      );
    });
  for (const owner of ['0', '0:0', ':7', 'root', 'libvirt-qemu:kvm', 'é'])
    it(`${owner} is taken`, () => assert.ok(parseChown(request(owner))));
});
